"""/apps: the apps of a project with their live versions."""

from aiohttp import web

from console.app_reads import follow_deployments, live_of
from console.paging import page_number, pages_around
from console.visit import VISIT
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb

PAGE_SIZE = 25

routes = web.RouteTableDef()


@routes.get("/apps")
async def show(request: web.Request) -> web.Response:
    visit, query = request[VISIT], request.query
    found = None
    if visit.project is not None:
        asked = pb.ListAppsRequest(
            project_id=visit.project.id,
            archived=True if query.get("show") == "archived" else None,
            page=page_number(query),
            page_size=PAGE_SIZE,
        )
        found = await visit.call_if_there(asked, pb.ListAppsResponse)
    live = await live_of(visit, found.data if found is not None else ())
    pages = pages_around(found.pagination.page, found.pagination.page_count) if found else ()
    return await visit.page("apps.html", found=found, live=live, pages=pages)


@routes.get("/apps/watch")
async def watch(request: web.Request) -> web.StreamResponse:
    visit = request[VISIT]
    if visit.project is None:
        raise web.HTTPNotFound
    return await follow_deployments(visit, pb.WatchDeploymentsRequest(project_id=visit.project.id))
