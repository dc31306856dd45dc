"""What the gateway answers of its own to readers: where things are, the OpenAPI document, and the page that shows it."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from aiohttp import web
from google.protobuf.descriptor import FileDescriptor

from gateway.openapi.document import as_text, document

PAGE = Path(__file__).parent / "docs"
FILES = {
    "/docs": ("page.html", "text/html"),
    "/docs/page.css": ("page.css", "text/css"),
    "/docs/page.js": ("page.js", "text/javascript"),
}
POLICY = "default-src 'self'; frame-ancestors 'none'"
FRONT = {"name": "Flowpin", "api": "/v1", "docs": "/docs", "openapi": "/openapi.json"}


def add_to(router: web.UrlDispatcher, contracts: Iterable[FileDescriptor]) -> None:
    @cache
    def text() -> str:
        return as_text(document(contracts))

    async def front(request: web.Request) -> web.Response:
        return web.json_response(FRONT)

    async def openapi(request: web.Request) -> web.Response:
        return web.Response(text=text(), content_type="application/json")

    async def page(request: web.Request) -> web.Response:
        name, content_type = FILES[request.path]
        body = (PAGE / name).read_bytes()
        headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
        return web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)

    router.add_get("/", front)
    router.add_get("/openapi.json", openapi)
    for path in FILES:
        router.add_get(path, page)
