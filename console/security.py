"""Protection against other sites: headers of every answer, and the check that forms come from our own pages."""

from urllib.parse import urlsplit

from aiohttp import web

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # Other sites get no referrer. `no-referrer` is not used, because browsers then send `Origin: null` with our own
    # forms. Over http, except for localhost, they also send no Sec-Fetch-Site.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
CACHING = web.RequestKey("caching", str)
"""The handler's Cache-Control. Pages are not stored: otherwise they would remain in the browser after signing out."""
KEEPS_FORM = "private, no-cache"
"""Cache-Control of a page with a long form, so that browsers restore typed text after Back."""
READS = ("GET", "HEAD", "OPTIONS")


async def protect(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers to every answer, as an `on_response_prepare` signal."""
    response.headers.update(HEADERS)
    response.headers["Cache-Control"] = request.get(CACHING, "no-store")


def is_from_us(request: web.Request, origin: str | None) -> bool:
    """Whether a state-changing request was sent by one of our pages.

    `origin` is the console's own. None means the host that the browser names.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    sent_by = urlsplit(request.headers.get("Origin", ""))
    if origin is not None:
        return f"{sent_by.scheme}://{sent_by.netloc}".lower() == origin
    return sent_by.scheme in ("http", "https") and sent_by.netloc.lower() == request.host.lower()


def local_path(path: str) -> str:
    """The target of the redirect after signing in: `path` if it is of this site, otherwise the start page."""
    parts = urlsplit(path) if path.isprintable() and "\\" not in path else None
    is_local = parts is not None and not parts.scheme and not parts.netloc
    return path if is_local and path.startswith("/") and not path.startswith("//") else "/"
