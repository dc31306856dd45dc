"""What the gateway answers to readers: where things are, the OpenAPI document, and a page that shows it."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from aiohttp import web
from google.protobuf.descriptor import FileDescriptor

from gateway.openapi.document import as_text, document

FRONT = {"name": "Flowpin", "api": "/v1", "docs": "/docs", "openapi": "/openapi.json"}
PAGE = Path(__file__).parent / "docs"
FILES = {"/docs": "page.html", "/docs/page.css": "page.css", "/docs/page.js": "page.js"}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def add_to(router: web.UrlDispatcher, contracts: Iterable[FileDescriptor]) -> None:
    @cache
    def openapi_text() -> str:
        return as_text(document(contracts))

    async def front(request: web.Request) -> web.Response:
        return web.json_response(FRONT)

    async def openapi(request: web.Request) -> web.Response:
        return web.Response(text=openapi_text(), content_type="application/json")

    async def page(request: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE / FILES[request.path], headers=HEADERS)

    router.add_get("/", front)
    router.add_get("/openapi.json", openapi)
    for path in FILES:
        router.add_get(path, page)
