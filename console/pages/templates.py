"""/templates: examples that run without a key, and the team's own templates."""

from aiohttp import web

from console.gallery import examples
from console.graph import read_graph
from console.visit import VISIT
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb

KEPT = "template-"
"""Prefix of the names of workflows that are templates."""
MAX_KEPT = 100

routes = web.RouteTableDef()


@routes.get("/templates")
async def show(request: web.Request) -> web.Response:
    visit = request[VISIT]
    kept: list[pb.Workflow] = []
    if visit.project is not None:
        asked = pb.ListWorkflowsRequest(project_id=visit.project.id, name=KEPT, sort="name", page_size=MAX_KEPT)
        found = await visit.call_if_there(asked, pb.ListWorkflowsResponse)
        kept = [each for each in found.data if each.name.startswith(KEPT)] if found else []
    shown = [(each, [node.kind for node in read_graph(each.flow, each.flow_ui).nodes]) for each in examples()]
    return await visit.page("templates.html", examples=shown, kept=kept)
