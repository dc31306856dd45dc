"""CORS headers, because pages of any origin may call public apps."""

from aiohttp import web

EXPOSED = "X-Flowpin-Deployment, X-Flowpin-Version, X-Request-Id, Retry-After"
PREFLIGHT_SECONDS = 600
MAX_HEADERS_CHARS = 2000


def is_preflight(request: web.Request) -> bool:
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


def preflight(request: web.Request) -> web.Response:
    """Allows all headers that the page asks for, because public apps do not depend on headers."""
    asked = request.headers.get("Access-Control-Request-Headers", "")
    is_plain = asked.isascii() and asked.isprintable() and len(asked) <= MAX_HEADERS_CHARS
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": "POST, OPTIONS",
            "Access-Control-Allow-Headers": asked if asked and is_plain else "*",
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
        },
    )


def allow_everywhere(response: web.StreamResponse) -> None:
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Expose-Headers"] = EXPOSED
