"""Pages for people: an overview, the OpenAPI document, and a page that shows it."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from aiohttp import web
from google.protobuf.descriptor import FileDescriptor

from gateway import compression
from gateway.openapi.document import as_text, document
from service_kit.release import VERSION

FRONT = {"name": "Flowpin", "version": VERSION, "api": "/v1", "docs": "/docs", "openapi": "/openapi.json"}
PAGE = Path(__file__).parent / "docs"
FILES = {"/docs": "page.html", "/docs/page.css": "page.css", "/docs/page.js": "page.js"}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def add_to(router: web.UrlDispatcher, contracts: Iterable[FileDescriptor]) -> None:
    @cache
    def openapi_text() -> bytes:
        return as_text(document(contracts)).encode()

    @cache
    def openapi_gzipped() -> bytes:
        return compression.gzipped(openapi_text())

    async def front(request: web.Request) -> web.Response:
        return web.json_response(FRONT)

    async def openapi(request: web.Request) -> web.Response:
        described = {"Content-Type": "application/json; charset=utf-8", "Vary": "Accept-Encoding"}
        if not compression.takes_gzip(request.headers):
            return web.Response(body=openapi_text(), headers=described)
        return web.Response(body=openapi_gzipped(), headers={**described, "Content-Encoding": "gzip"})

    async def page(request: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE / FILES[request.path], headers=HEADERS)

    router.add_get("/", front)
    router.add_get("/openapi.json", openapi)
    for path in FILES:
        router.add_get(path, page)
