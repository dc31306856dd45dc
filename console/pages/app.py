"""/apps/{app_id}: the live and the newest deployments of an app."""

import asyncio

from aiohttp import web

from console.app_reads import APP, follow_deployments, live_of, open_app
from console.visit import VISIT
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb

NEWEST = 5

routes = web.RouteTableDef()


@routes.get(APP)
async def show(request: web.Request) -> web.Response:
    visit = request[VISIT]
    app = await open_app(visit)
    asked = pb.ListDeploymentsRequest(app_id=app.id, page_size=NEWEST)
    live, newest = await asyncio.gather(live_of(visit, [app]), visit.call(asked, pb.ListDeploymentsResponse))
    return await visit.page("app.html", app=app, live=live, newest=newest.data)


@routes.get(APP + "/watch")
async def watch(request: web.Request) -> web.StreamResponse:
    asked = pb.WatchDeploymentsRequest(app_id=request.match_info["app_id"])
    return await follow_deployments(request[VISIT], asked)
