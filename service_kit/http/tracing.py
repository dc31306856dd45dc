"""A span around every request. Its calls to the services are part of its trace."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from service_kit.tracing.spans import Spans


def tracing(spans: Spans) -> Middleware:
    @web.middleware
    async def trace(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        route = "" if resource is None else resource.canonical
        attributes = {"http.request.method": request.method, "http.route": route}
        with spans.server_span(f"{request.method} {route}".rstrip(), request.headers, attributes) as span:
            response = await handler(request)
            span.set_attribute("http.response.status_code", response.status)
            return response

    return trace
