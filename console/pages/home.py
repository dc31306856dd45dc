"""/ redirects to the workflows."""

from aiohttp import web

routes = web.RouteTableDef()


@routes.get("/")
async def show(request: web.Request) -> web.Response:
    return web.Response(status=303, headers={"Location": "/workflows"})
