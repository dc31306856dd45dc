"""/workflows/{id}: the graph of the latest version, and the version history."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from aiohttp import web

from console.drawn import draw
from console.live import Lives, find_lives
from console.paging import page_number, pages_around
from console.shown import word
from console.streams import follow
from console.visit import VISIT, Visit
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb

PAGE_SIZE = 25
NOBODY = "00000000-0000-0000-0000-000000000000"
VIEWS = ("", "archived", "live", "mine")

routes = web.RouteTableDef()


@routes.get("/workflows/{workflow_id}")
async def show(request: web.Request) -> web.Response:
    visit = request[VISIT]
    workflow_id = request.match_info["workflow_id"]
    workflow = await read_workflow(visit, workflow_id)
    drawn = await draw(visit, workflow.flow.utf8, workflow.flow_ui.utf8)
    if request.headers.get("X-Part") == "node":
        return await visit.fragment("node.html", drawn=drawn)
    lives, labels = await asyncio.gather(find_lives(visit, workflow), labels_of(visit, workflow_id))
    versions, pagination = await history(visit, workflow, lives or {})
    return await visit.page(
        "workflow.html",
        workflow=workflow,
        is_draft=workflow.status == pb.WORKFLOW_STATUS_DRAFT,
        drawn=drawn,
        versions=versions,
        pagination=pagination,
        pages=pages_around(pagination.page, pagination.page_count),
        lives=lives or {},
        labels=labels,
        view=view_of(visit),
    )


@routes.get("/workflows/{workflow_id}/watch")
async def watch(request: web.Request) -> web.StreamResponse:
    """The name of each event of the workflow's versions."""
    visit = request[VISIT]
    asked = pb.WatchVersionsRequest(workflow_id=request.match_info["workflow_id"])

    async def names() -> AsyncGenerator[str, None]:
        async with aclosing(visit.stream(asked, pb.WatchVersionsResponse)) as messages:
            async for message in messages:
                yield word(message.event, pb.VersionEvent)

    async with aclosing(names()) as events:
        return await follow(request, events)


@routes.post("/workflows/{workflow_id}/edit")
async def edit(request: web.Request) -> web.Response:
    visit, path = request[VISIT], f"/workflows/{request.match_info['workflow_id']}"
    form = await visit.form()
    asked = pb.UpdateWorkflowRequest(
        workflow_id=request.match_info["workflow_id"], name=form.text("name"), description=form.text("description")
    )
    try:
        await visit.call(asked, pb.UpdateWorkflowResponse)
    except ServiceError as error:
        return visit.refused(path, error)
    return visit.go(path, "The name and description are changed. No version was created.")


@routes.post("/workflows/{workflow_id}/delete")
async def delete(request: web.Request) -> web.Response:
    visit, workflow_id = request[VISIT], request.match_info["workflow_id"]
    await visit.form()
    try:
        await visit.call(pb.DeleteWorkflowRequest(workflow_id=workflow_id), pb.DeleteWorkflowResponse)
    except ServiceError as error:
        if error.reason != "WORKFLOW_NOT_FOUND":  # the form was sent twice, and the first has deleted it
            return visit.refused(f"/workflows/{workflow_id}", error)
    return visit.go("/workflows", "The workflow is deleted. Its deployments keep running.")


async def read_workflow(visit: Visit, workflow_id: str) -> pb.Workflow:
    """The workflow with its flow. Sets the page's project to the workflow's."""
    workflow = (await visit.call(pb.GetWorkflowRequest(workflow_id=workflow_id), pb.GetWorkflowResponse)).data
    visit.enter(workflow.project_id)
    return workflow


async def labels_of(visit: Visit, workflow_id: str) -> dict[str, list[str]]:
    """Names of labels, by the version's id."""
    found = await visit.call(pb.ListLabelsRequest(workflow_id=workflow_id, page_size=100), pb.ListLabelsResponse)
    labels: dict[str, list[str]] = {}
    for label in found.data:
        labels.setdefault(label.workflow_version_id, []).append(label.name)
    return labels


def view_of(visit: Visit) -> str:
    view = visit.request.query.get("view", "")
    return view if view in VIEWS else ""


async def history(visit: Visit, workflow: pb.Workflow, lives: Lives) -> tuple[Sequence[pb.Version], pb.Pagination]:
    """A page of versions for the selected view, newest first."""
    view, page = view_of(visit), page_number(visit.request.query)
    if view == "live":
        return await _live_versions(visit, workflow, lives, page)
    asked = pb.ListVersionsRequest(
        workflow_id=workflow.id,
        page=page,
        page_size=PAGE_SIZE,
        include_archived=view == "archived",
        # A service account has no versions of its own.
        created_by=(visit.person.id or NOBODY) if view == "mine" else None,
    )
    found = await visit.call(asked, pb.ListVersionsResponse)
    return found.data, found.pagination


async def _live_versions(
    visit: Visit, workflow: pb.Workflow, lives: Lives, page: int
) -> tuple[Sequence[pb.Version], pb.Pagination]:
    """Deleted versions that are still live are left out."""
    newest_first = sorted(lives, key=lambda version_id: -lives[version_id][0].version)
    count = -(-len(newest_first) // PAGE_SIZE)
    page = max(1, min(page, count))
    asked = pb.ListVersionsRequest(
        workflow_id=workflow.id,
        version_ids=newest_first[(page - 1) * PAGE_SIZE : page * PAGE_SIZE],
        page_size=PAGE_SIZE,
        include_archived=True,
    )
    found = (await visit.call(asked, pb.ListVersionsResponse)).data if newest_first else ()
    pagination = pb.Pagination(page=page, page_size=PAGE_SIZE, page_count=count, total_count=len(newest_first))
    return found, pagination
