"""/workflows/{id}/save: the next version, from a pasted or uploaded flow or an older version."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web

from console.documents import NO_LAYOUT, NodeProblem, check, content_of, is_yaml, problems_of
from console.drawn import node_address
from console.failures import failure_of
from console.forms import Form
from console.graph import Changes, mark_changes, read_graph, value_changes
from console.pages.workflow import read_workflow
from console.security import CACHING, KEEPS_FORM
from console.shown import pretty_json
from console.visit import VISIT, Visit
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb

ADDRESS = "/workflows/{workflow_id}/save"

routes = web.RouteTableDef()


@dataclass(frozen=True, slots=True)
class Draft:
    """The content of the form."""

    flow: str
    flow_ui: str
    name: str = ""
    description: str = ""
    base: str = ""
    """The id of the version that the content is based on. Empty on a draft."""
    source: str = ""
    """The label of the older version whose content is in the form."""
    is_changed: bool = False
    """Whether it differs from the saved content."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A save by somebody else in the meantime, with the differences between both."""

    winner: pb.Version
    nodes: Sequence[str]
    changes: Changes
    url: str


@routes.get(ADDRESS)
async def show(request: web.Request) -> web.Response:
    visit = request[VISIT]
    request[CACHING] = KEEPS_FORM
    workflow = await read_workflow(visit, request.match_info["workflow_id"])
    flow, layout, description, source = workflow.flow.utf8, workflow.flow_ui.utf8, "", ""
    if request.query.get("from"):
        asked = pb.GetVersionRequest(workflow_id=workflow.id, version=request.query["from"])
        version = (await visit.call(asked, pb.GetVersionResponse)).data
        flow, layout, source = version.flow.utf8, version.flow_ui.utf8, version.label
        description = f"Restored from {version.label}."
    return await _page(
        visit,
        workflow,
        Draft(
            await asyncio.to_thread(pretty_json, flow) if len(flow) < 1 << 20 else flow.decode("utf-8", "replace"),
            layout.decode("utf-8", "replace"),
            workflow.name,
            description,
            workflow.latest_version.id,
            source,
            bool(source),
        ),
    )


@routes.post(ADDRESS)
async def save(request: web.Request) -> web.Response:
    visit = request[VISIT]
    workflow = await read_workflow(visit, request.match_info["workflow_id"])
    form = await visit.form()
    text, layout = form.document("flow"), form.document("flow_ui")
    draft = Draft(
        text,
        layout,
        form.text("name"),
        form.text("description"),
        form.text("on_top_of") or form.text("base"),
        form.text("source"),
        True,
    )
    try:
        content = await content_of(visit, text, workflow.project_id)
    except ServiceError as error:
        return await _page(visit, workflow, draft, error=error, status=400)
    if is_yaml(text) or content.flow_ui is not None:
        flow_text = await asyncio.to_thread(pretty_json, content.flow)
        shown_layout = (content.flow_ui or NO_LAYOUT).decode()
        draft = Draft(flow_text, shown_layout, draft.name, draft.description, draft.base, draft.source, True)
    flow, flow_ui = content.flow, content.flow_ui or layout.encode() or NO_LAYOUT
    if form.text("action") != "save" and not form.text("on_top_of"):
        problems = await check(visit, flow)
        return await _page(visit, workflow, draft, problems=problems, warnings=content.warnings, checked=True)
    return await _saved(visit, workflow, draft, form, flow, flow_ui)


async def _saved(
    visit: Visit, workflow: pb.Workflow, draft: Draft, form: Form, flow: bytes, flow_ui: bytes
) -> web.Response:
    asked = pb.SaveWorkflowRequest(
        workflow_id=workflow.id,
        flow=pb.Json(utf8=flow),
        flow_ui=pb.Json(utf8=flow_ui),
        description=draft.description or None,
        name=draft.name or None,
        base_version_id=draft.base or None,
    )
    try:
        version = (await visit.call(asked, pb.SaveWorkflowResponse, key=form.key)).data
    except ServiceError as error:
        conflict = await _conflict(visit, workflow, error, flow, flow_ui)
        problems = await problems_of(error, flow) if error.reason == "INVALID_FLOW" else {}
        status = 409 if conflict else failure_of(error).status
        return await _page(visit, workflow, draft, error=error, conflict=conflict, problems=problems, status=status)
    path = f"/workflows/{workflow.id}/versions/{version.version}"
    return visit.go(path, f"{version.label} is saved, and is the latest version.")


async def _conflict(
    visit: Visit, workflow: pb.Workflow, error: ServiceError, flow: bytes, flow_ui: bytes
) -> Conflict | None:
    if error.reason != "VERSION_CONFLICT":
        return None
    asked = pb.GetVersionRequest(workflow_id=workflow.id, version=error.metadata["version_id"])
    winner = (await visit.call(asked, pb.GetVersionResponse)).data
    nodes = [each for each in error.metadata["nodes"].split(", ") if each]

    def compared() -> Changes:
        theirs, ours = mark_changes(read_graph(winner.flow.utf8, winner.flow_ui.utf8), read_graph(flow, flow_ui))
        found = value_changes(theirs, ours)
        both = tuple(row for row in found.rows if row.node is not None and row.node.id in nodes)
        return Changes(both or found.rows, found.left_out)

    changes = await asyncio.to_thread(compared)
    return Conflict(winner, nodes, changes, f"/workflows/{workflow.id}/versions/{winner.version}")


async def _page(
    visit: Visit,
    workflow: pb.Workflow,
    draft: Draft,
    *,
    error: ServiceError | None = None,
    conflict: Conflict | None = None,
    problems: Mapping[str, Sequence[NodeProblem]] | None = None,
    warnings: Sequence[str] = (),
    checked: bool = False,
    status: int = 200,
) -> web.Response:
    wrong = {} if error is None else dict(error.fields)
    return await visit.page(
        "save.html",
        status=status,
        workflow=workflow,
        is_draft=workflow.status == pb.WORKFLOW_STATUS_DRAFT,
        draft=draft,
        failure=None if error is None else failure_of(error),
        wrong=wrong,
        conflict=conflict,
        conflict_url=node_address(conflict.url, {}) if conflict else None,
        problems=problems or {},
        warnings=warnings,
        checked=checked,
        has_errors=any(each.is_error for found in (problems or {}).values() for each in found),
    )
