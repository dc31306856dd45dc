"""/workflows/{id}/compare/{a}/{b}: the differences between two versions."""

import asyncio

from aiohttp import web

from console.drawn import node_address
from console.graph import mark_changes, read_graph, value_changes
from console.graph.model import Graph
from console.graph.values import Changes
from console.pages.version import read_version
from console.pages.workflow import read_workflow
from console.visit import VISIT
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb

OFFERED = 100
"""The number of newest versions to choose from. The URL can name any other."""

routes = web.RouteTableDef()


@routes.get("/workflows/{workflow_id}/compare")
async def choose(request: web.Request) -> web.Response:
    """Redirect the form with both numbers."""
    workflow_id, query = request.match_info["workflow_id"], request.query
    one, other = (query.get(name, "latest").strip() or "latest" for name in ("from", "to"))
    target = request.rel_url.with_path(f"/workflows/{workflow_id}/compare/{one}/{other}").with_query(None)
    return web.Response(status=303, headers={"Location": str(target)})


@routes.get("/workflows/{workflow_id}/compare/{one}/{other}")
async def show(request: web.Request) -> web.Response:
    visit = request[VISIT]
    workflow_id = request.match_info["workflow_id"]
    one, other, workflow, listed = await asyncio.gather(
        read_version(visit, request.match_info["one"]),
        read_version(visit, request.match_info["other"]),
        read_workflow(visit, workflow_id),
        visit.call(
            pb.ListVersionsRequest(workflow_id=workflow_id, page_size=OFFERED, include_archived=True),
            pb.ListVersionsResponse,
        ),
    )
    before, after, changes = await asyncio.to_thread(_compared, one, other)
    offered = {each.version: each for each in [*listed.data, one, other]}
    return await visit.page(
        "compare.html",
        workflow=workflow,
        one=one,
        other=other,
        offered=sorted(offered.values(), key=lambda version: -version.version),
        before=before,
        after=after,
        changes=changes,
        url_of=lambda version: node_address(f"/workflows/{workflow_id}/versions/{version.version}", {}),
    )


def _compared(one: pb.Version, other: pb.Version) -> tuple[Graph, Graph, Changes]:
    before, after = mark_changes(
        read_graph(one.flow.utf8, one.flow_ui.utf8), read_graph(other.flow.utf8, other.flow_ui.utf8)
    )
    return before, after, value_changes(before, after)
