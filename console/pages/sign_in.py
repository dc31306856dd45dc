"""/sign-in (by a Personal Access Token, at an issuer, or by the one-time link of `flowpin up`) and /sign-out."""

from functools import partial
from hmac import compare_digest
from pathlib import Path

import structlog
from aiohttp import web
from msgspec.structs import replace

from console import sign_in_links
from console.cookies import Session, TokenTooLong
from console.directory import Directory, Person
from console.failures import sentence_of
from console.forms import Form, form_of
from console.issuer import CALLBACK, Issuer
from console.security import local_path
from console.visit import Console
from service_kit.access.file import TOKEN_PREFIX
from service_kit.errors import ServiceError, TooManyRequests, Unavailable
from service_kit.http import bodies
from service_kit.http.bodies import BodyLimits
from service_kit.http.middleware import REQUEST_ID
from service_kit.openid.code_flow import new_attempt
from service_kit.openid.fetching import IssuerFailed, IssuerRefused

LIMITS = BodyLimits(8 << 10, 5, 4 << 10)
"""Size limit of the form, whose sender is unknown."""
ENDED = "Your token is no longer valid: it was revoked, or it has expired. Sign in again."
TOO_LONG = "The issuer's token is too long for a cookie. It must have at most 8,192 characters, as for the services."
NOT_STARTED = "This sign-in was not started in this browser in the last ten minutes, or it has ended. Sign in again."
USED = "This link does not work: it was used already, is older than an hour, or a newer one took its place."


log = structlog.get_logger()


class SignIn:
    def __init__(self, console: Console, directory: Directory, link_file: Path | None, issuer: Issuer | None) -> None:
        self._console = console
        self._directory = directory
        self._link_file = link_file
        self._issuer = issuer

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/sign-in", self.show)
        router.add_post("/sign-in", self.sign_in)
        if self._issuer is not None:
            router.add_get("/sign-in/issuer", partial(self.begin, self._issuer), allow_head=False)
            router.add_get(CALLBACK, partial(self.end, self._issuer), allow_head=False)
        router.add_get("/sign-in/{code}", self.show_link)
        router.add_post("/sign-in/{code}", self.take_link)
        router.add_post("/sign-out", self.sign_out)

    async def show(self, request: web.Request) -> web.Response:
        back = local_path(request.query.get("back", "/"))
        if self._console.cookies.session(request) is not None:
            return web.Response(status=303, headers={"Location": back})
        return self._page(back, ENDED if request.query.get("ended") else "")

    async def sign_in(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        token, back = form.text("token"), local_path(form.text("back"))
        if not (token.startswith(TOKEN_PREFIX) and token.isascii() and token.isprintable()):
            return self._page(back, wrong=f"must begin with {TOKEN_PREFIX}", status=400)
        return await self._signed_in(request, Session(token, ""), back)

    async def show_link(self, request: web.Request) -> web.Response:
        """Show a form instead of using the link immediately: programs that preview links open them, but do not send
        forms."""
        if not sign_in_links.is_good(self._link_file, request.match_info["code"]):
            return self._page("/", USED, status=404)
        return self._answer("sign_in_link.html", 200, path=request.path)

    async def take_link(self, request: web.Request) -> web.Response:
        token = sign_in_links.take_token(self._link_file, request.match_info["code"])
        if token is None:
            return self._page("/", USED, status=404)
        return await self._signed_in(request, Session(token, ""), "/")

    async def begin(self, issuer: Issuer, request: web.Request) -> web.Response:
        """Redirect to the issuer's page. The page has a link to this path, because the security policy allows no form
        that leads to another site."""
        back, attempt = local_path(request.query.get("back", "/")), new_attempt()
        try:
            location = await issuer.link(attempt)
        except IssuerFailed as error:
            return self._failed(issuer, error, back)
        except ServiceError as error:
            return self._page(back, sentence_of(error), status=429)
        response = web.Response(status=303, headers={"Location": location})
        self._console.cookies.keep_attempt(response, attempt, back)
        return response

    async def end(self, issuer: Issuer, request: web.Request) -> web.Response:
        """The redirect back from the issuer. It deletes the attempt's cookie, so a code is used once."""
        attempt = self._console.cookies.attempt(request)
        if attempt is None or not compare_digest(
            attempt.secrets.state.encode(), request.query.get("state", "").encode(errors="replace")
        ):
            return self._page("/", NOT_STARTED, status=400)
        try:
            tokens = await issuer.redeem(request.query, attempt.secrets)
            session = Session(
                tokens.token,
                "",
                subject=tokens.subject,
                token_expires_at=tokens.expires_at,
                refresh_token=tokens.refresh_token,
            )
            response = await self._signed_in(request, session, attempt.back)
        except IssuerFailed as error:
            response = self._failed(issuer, error, attempt.back)
        except TooManyRequests as error:
            return self._page(attempt.back, sentence_of(error), status=429)  # the page may be reloaded
        self._console.cookies.forget_attempt(response)
        return response

    async def sign_out(self, request: web.Request) -> web.Response:
        session = self._console.cookies.session(request)
        if self._issuer is not None and session is not None and session.refresh_token:
            await self._revoke(self._issuer, session.refresh_token)
        response = web.Response(status=303, headers={"Location": "/sign-in", "Clear-Site-Data": '"cache"'})
        self._console.cookies.forget_session(response)
        self._console.cookies.forget_flash(response)
        return response

    async def _signed_in(self, request: web.Request, session: Session, back: str) -> web.Response:
        try:
            person = await self._look_up(request, session.token)
        except ServiceError as error:
            return self._page(back, sentence_of(error), status=400)
        response = web.Response(status=303, headers={"Location": back})
        try:
            self._console.cookies.keep_session(response, replace(session, name=person.name, person_id=person.id))
        except TokenTooLong:
            return self._page(back, TOO_LONG, status=400)
        return response

    def _failed(self, issuer: Issuer, error: IssuerFailed, back: str) -> web.Response:
        log.warning("issuer_sign_in_failed", issuer=issuer.name, error=str(error))
        status = 400 if isinstance(error, IssuerRefused) else 502
        return self._page(back, f"Nobody was signed in at {issuer.name}: {error}.", status=status)

    async def _revoke(self, issuer: Issuer, refresh_token: str) -> None:
        try:
            await issuer.revoke(refresh_token)
        except (IssuerFailed, TimeoutError, TooManyRequests) as error:
            log.warning("token_not_revoked", issuer=issuer.name, error=str(error) or type(error).__name__)

    async def _look_up(self, request: web.Request, token: str) -> Person:
        """While the workflow service is down, the deploy service checks the token. Raises ServiceError."""
        metadata = {"authorization": f"Bearer {token}", "x-request-id": request[REQUEST_ID]}
        try:
            return await self._directory.look_up(token, metadata)
        except Unavailable:
            await self._console.services.check_token(token)
            return Person("Signed in")

    async def _form(self, request: web.Request) -> Form:
        bodies.check_head(request, LIMITS)
        with self._console.budget.reserve("sign-in") as reservation:
            return form_of(request, await bodies.receive(request, reservation, LIMITS))

    def _page(self, back: str, problem: str = "", *, wrong: str = "", status: int = 200) -> web.Response:
        """The sign-in page. `problem` is shown above the form, `wrong` at its field."""
        issuer = self._issuer.name if self._issuer is not None else ""
        return self._answer("sign_in.html", status, back=back, problem=problem, wrong=wrong, issuer=issuer)

    def _answer(self, template: str, status: int, **context: str) -> web.Response:
        text = self._console.renderer.render(template, context)
        return web.Response(text=text, content_type="text/html", status=status)
