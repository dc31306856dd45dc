"""The middleware of every request: the check of its origin, the sign-in, and failures as pages."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from grpc import StatusCode

from console.cookies import SESSION, Project, Session, TokenTooLong
from console.directory import Directory, Person
from console.failures import OURS, Failure, failure_of
from console.issuer import Issuer
from console.security import CACHING, READS, is_from_us, local_path
from console.visit import VISIT, Console, Visit
from service_kit.errors import ServiceError, Unavailable
from service_kit.fair_queue import FairQueue
from service_kit.http.middleware import REQUEST_ID
from service_kit.http.token_checks import digest_of

OPEN = ("/health/", "/static/")
"""Paths for machines and files. Their failures are not pages."""
STREAMS = "/watch"
"""The end of the paths of streams."""
SIGNING = ("/sign-in", "/sign-out")
"""Paths that do not require a sign-in."""
PAGE_NOT_FOUND = Failure(404, "Page not found", "The address does not exist.", "Start at Workflows or Apps.", "")
FOREIGN_FORM = Failure(
    403,
    "This was not sent from the console's own pages",
    "Nothing was changed.",
    "Open the page here and send its form again. Behind a proxy, CONSOLE_URL must be the address in the browser.",
    "NOT_SAME_ORIGIN",
)
HTTP = {
    404: PAGE_NOT_FOUND,
    405: Failure(405, "This address needs another method", "Nothing was changed.", "Go back to the page.", ""),
    408: Failure(408, "The form took too long to arrive", "Nothing was changed.", "Send it again.", ""),
    413: Failure(413, "The form is too large", "Nothing was changed.", "Send a smaller document.", ""),
}

RENEWED = web.RequestKey("renewed", Session)
"""The session with a new token, which the browser does not have yet."""

log = structlog.get_logger()


class Guard:
    """Creates the visit of each request, or redirects to the sign-in page."""

    def __init__(
        self, console: Console, directory: Directory, queue: FairQueue, origin: str | None, issuer: Issuer | None
    ) -> None:
        self._console = console
        self._directory = directory
        self._queue = queue
        self._origin = origin
        self._issuer = issuer

    @web.middleware
    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(OPEN):
            return await handler(request)
        if request.method not in READS and not is_from_us(request, self._origin):
            return self._failed(request, FOREIGN_FORM)
        session = self._console.cookies.session(request)
        try:
            if request.path.startswith(SIGNING):
                return await self._queued(request, handler, b"sign-in")
            if session is None:
                return _to_sign_in(request)
            if self._issuer is not None and session.is_due():
                session = request[RENEWED] = await self._issuer.renew(session)
            if request.match_info.http_exception is None:
                await self._make_visit(request, session)
            if request.path.endswith(STREAMS):
                with self._console.streams.place(session.token):
                    return await handler(request)
            return await self._queued(request, handler, digest_of(session.token))
        except ServiceError as error:
            if error.code is StatusCode.UNAUTHENTICATED:
                return self._sign_out(request, error)
            if error.code is StatusCode.INVALID_ARGUMENT and error.fields.keys() & request.match_info.keys():
                return self._failed(request, PAGE_NOT_FOUND)  # the path has invalid values
            return self._failed(request, failure_of(error))
        except web.HTTPException as error:
            failure = HTTP.get(error.status) or Failure(error.status, error.reason, "", OURS[1], "")
            return self._failed(request, failure)
        except web.RequestPayloadError:
            return self._failed(request, Failure(400, "The form is incomplete", "", "Send it again.", ""))
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("page_broke", request_id=request[REQUEST_ID])
            return self._failed(request, Failure(500, OURS[0], "", OURS[1], "INTERNAL"))

    async def keep_renewed(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add a renewed session to every answer, also streams, as an `on_response_prepare` signal."""
        if RENEWED not in request or SESSION in response.cookies:
            return
        kept = web.Response()
        with suppress(TokenTooLong):  # the token is then renewed for each request
            self._console.cookies.keep_session(kept, request[RENEWED])
        for cookie in kept.cookies.values():  # the answer's own cookies are already in its headers
            response.headers.add("Set-Cookie", cookie.OutputString())

    async def _queued(self, request: web.Request, handler: Handler, principal: bytes) -> web.StreamResponse:
        await self._queue.enter(principal)
        try:
            return await handler(request)
        finally:
            self._queue.leave(principal)

    async def _make_visit(self, request: web.Request, session: Session) -> None:
        """Check the token before anything is reserved for the request. Raises Unauthenticated."""
        metadata = {"authorization": f"Bearer {session.token}", "x-request-id": request[REQUEST_ID]}
        away: Unavailable | None = None
        try:
            person = await self._directory.look_up(session.token, metadata)
        except Unavailable as error:
            await self._console.services.check_token(session.token)
            person, away = self._directory.last_known(session), error
        visit = Visit(request, self._console, session, person, _project_of(request, session, person), metadata)
        visit.flash = self._console.cookies.flash(request) if request.method in READS else None
        if away is not None:
            visit.note_away("workflow", away)
        request[VISIT] = visit

    def _sign_out(self, request: web.Request, error: ServiceError) -> web.Response:
        response = _to_sign_in(request, reason=error.message)
        self._console.cookies.forget_session(response)
        return response

    def _failed(self, request: web.Request, failure: Failure) -> web.Response:
        visit = request.get(VISIT)
        request[CACHING] = "no-store"
        text = self._console.renderer.render(
            "failed.html",
            {
                "visit": visit,
                "failure": failure,
                "request_id": request[REQUEST_ID],
                "path": request.path,
                "here": request.path_qs,
                "person": visit.person if visit else None,
                "project": visit.project if visit else None,
                "may": visit.may if visit else lambda role: False,
            },
        )
        headers = {"Retry-After": "1"} if failure.status in (429, 503) else None
        return web.Response(text=text, content_type="text/html", status=failure.status, headers=headers)


def _to_sign_in(request: web.Request, reason: str = "") -> web.Response:
    """Redirect to the sign-in form, and afterwards back to the requested page. A submitted form is not sent again."""
    back = local_path(request.path_qs if request.method in READS else "/")
    query = {"back": back} if back != "/" else {}
    if reason:
        query["ended"] = "1"
    location = str(request.rel_url.with_path("/sign-in").with_query(query))
    return web.Response(status=303, headers={"Location": location})


def _project_of(request: web.Request, session: Session, person: Person) -> Project | None:
    """The project in the URL, or else the last one, or else the first."""
    named = request.query.get("project", session.project.id if session.project else "")
    projects: Sequence[Project] = person.projects
    return next((each for each in projects if each.id == named), projects[0] if projects else None)
