"""/workflows/{id}/versions/{n}: one version, read-only, with its actions."""

import asyncio

from aiohttp import web

from console.drawn import draw
from console.live import find_lives
from console.pages.workflow import labels_of, read_workflow
from console.visit import VISIT, Visit
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb

ADDRESS = "/workflows/{workflow_id}/versions/{version}"

routes = web.RouteTableDef()


@routes.get(ADDRESS)
async def show(request: web.Request) -> web.Response:
    visit = request[VISIT]
    workflow_id = request.match_info["workflow_id"]
    version, workflow = await asyncio.gather(read_version(visit), read_workflow(visit, workflow_id))
    drawn = await draw(visit, version.flow.utf8, version.flow_ui.utf8)
    if request.headers.get("X-Part") == "node":
        return await visit.fragment("node.html", drawn=drawn)
    lives, labels = await asyncio.gather(find_lives(visit, workflow, version.id), labels_of(visit, workflow_id))
    return await visit.page(
        "version.html",
        workflow=workflow,
        version=version,
        drawn=drawn,
        lives=(lives or {}).get(version.id, ()),
        labels=labels.get(version.id, ()),
        flow_text=version.flow.utf8,
    )


@routes.get(f"{ADDRESS}/export")
async def export(request: web.Request) -> web.Response:
    visit = request[VISIT]
    asked = pb.ExportVersionRequest(**_named(request))
    try:
        found = await visit.call(asked, pb.ExportVersionResponse)
    except ServiceError as error:
        if error.reason == "INVALID_FLOW":
            return visit.refused(_path(request), error)
        raise
    return web.Response(
        body=found.data.data,
        content_type="application/octet-stream",
        headers={"Content-Disposition": "attachment; filename=workflow.zip"},
    )


@routes.post(f"{ADDRESS}/fork")
async def fork(request: web.Request) -> web.Response:
    """Save as new."""
    visit = request[VISIT]
    form = await visit.form()
    version = await read_version(visit)
    asked = pb.ForkWorkflowRequest(
        workflow_id=version.workflow_id,
        name=form.text("name"),
        description=form.text("description") or None,
        workflow_version_id=version.id,
    )
    try:
        made = (await visit.call(asked, pb.ForkWorkflowResponse, key=form.key)).data
    except ServiceError as error:
        return visit.refused(_path(request), error)
    return visit.go(f"/workflows/{made.id}", f"{made.name} is a new workflow, at v1.")


@routes.post(f"{ADDRESS}/archive")
async def archive(request: web.Request) -> web.Response:
    visit = request[VISIT]
    await visit.form()
    try:
        version = (await visit.call(pb.ArchiveVersionRequest(**_named(request)), pb.ArchiveVersionResponse)).data
    except ServiceError as error:
        return visit.refused(_path(request), error)
    return visit.go(_path(request), f"{version.label} is archived. Lists omit it; it can still be deployed.")


@routes.post(f"{ADDRESS}/unarchive")
async def unarchive(request: web.Request) -> web.Response:
    visit = request[VISIT]
    await visit.form()
    try:
        version = (await visit.call(pb.UnarchiveVersionRequest(**_named(request)), pb.UnarchiveVersionResponse)).data
    except ServiceError as error:
        return visit.refused(_path(request), error)
    return visit.go(_path(request), f"{version.label} is in the lists again.")


@routes.post(f"{ADDRESS}/delete")
async def delete(request: web.Request) -> web.Response:
    visit = request[VISIT]
    await visit.form()
    try:
        await visit.call(pb.DeleteVersionRequest(**_named(request)), pb.DeleteVersionResponse)
    except ServiceError as error:
        if error.reason != "VERSION_NOT_FOUND":
            return visit.refused(_path(request), error)
    path = f"/workflows/{request.match_info['workflow_id']}"
    return visit.go(path, "The version is deleted. Its number is never used again. Its deployments keep running.")


@routes.post(f"{ADDRESS}/note")
async def note(request: web.Request) -> web.Response:
    visit = request[VISIT]
    form = await visit.form()
    asked = pb.SetVersionNoteRequest(**_named(request), note=form.text("note"))
    try:
        await visit.call(asked, pb.SetVersionNoteResponse)
    except ServiceError as error:
        return visit.refused(_path(request), error)
    return visit.go(_path(request), "The note is saved." if asked.note else "The note is removed.")


async def read_version(visit: Visit, version: str = "") -> pb.Version:
    """The version in the URL, with its flow."""
    named = _named(visit.request) | ({"version": version} if version else {})
    return (await visit.call(pb.GetVersionRequest(**named), pb.GetVersionResponse)).data


def _named(request: web.Request) -> dict[str, str]:
    return {"workflow_id": request.match_info["workflow_id"], "version": request.match_info.get("version", "latest")}


def _path(request: web.Request) -> str:
    return "/workflows/{workflow_id}/versions/{version}".format(**request.match_info)
