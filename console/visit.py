"""One request of a signed-in person: the person, calls to services, and the answer."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web
from google.protobuf.message import Message
from msgspec.structs import replace

from console.cookies import Cookies, Flash, Project, Session, TokenTooLong
from console.directory import Person
from console.failures import NAMES, sentence_of
from console.forms import Form, form_of
from console.rendering import Renderer
from console.services import Services
from console.shown import short_id
from console.streams import Streams
from service_kit.byte_budget import ByteBudget
from service_kit.errors import ServiceError
from service_kit.http import bodies
from service_kit.http.bodies import BodyLimits
from service_kit.ids import new_id

AWAY = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
"""The gRPC codes of a service that does not answer."""
ROLES = ("viewer", "editor", "admin")

T = TypeVar("T", bound=Message)


@dataclass(frozen=True, slots=True)
class Console:
    """The state that all requests share."""

    services: Services
    cookies: Cookies
    renderer: Renderer
    budget: ByteBudget
    body_limits: BodyLimits
    streams: Streams = field(default_factory=Streams)


@dataclass
class Visit:
    request: web.Request
    console: Console
    session: Session
    person: Person
    project: Project | None
    """The page's project: the person's last one, unless the page sets another with `enter`."""
    metadata: Mapping[str, str]
    flash: Flash | None = None
    away: dict[str, str] = field(default_factory=dict)
    """Services that did not answer for this page, by name, with the error message."""
    unsettled_key: str | None = None
    """The idempotency key of a form whose outcome is unknown."""

    async def call(self, request: Message, answer: type[T], *, key: str | None = None) -> T:
        """Call the RPC of `request` as the person. `key` is the form's idempotency key. Raises ServiceError."""
        metadata = self.metadata if key is None else {**self.metadata, "idempotency-key": key}
        try:
            return await self.console.services.call(request, answer, metadata)
        except ServiceError as error:
            if error.code.name in AWAY:  # the outcome is unknown, so the next try must use the same key
                self.unsettled_key = key
            raise

    async def call_if_there(self, request: Message, answer: type[T]) -> T | None:
        """Like `call`, for data that the page can omit. If the service does not answer, returns None, and the page has
        a banner."""
        try:
            return await self.call(request, answer)
        except ServiceError as error:
            if error.code.name not in AWAY:
                raise
            self.note_away(self.console.services.name_of(request), error)
        return None

    def stream(self, request: Message, answer: type[T]) -> AsyncGenerator[T, None]:
        """The messages of a streaming RPC, to be closed by `aclosing`. Raises ServiceError."""
        return self.console.services.stream(request, answer, self.metadata)

    def note_away(self, service: str, error: ServiceError) -> None:
        self.away[NAMES[service]] = error.message

    def enter(self, project_id: str) -> Project | None:
        """Set the page's project, for its switcher, links and roles."""
        found = next((each for each in self.person.projects if each.id == project_id), None)
        if found is not None:
            self.project = found
        return found

    def may(self, role: str) -> bool:
        """Whether the person's role in the page's project is at least `role`. The services check it again."""
        held = self.project.role if self.project else "viewer"
        return held in ROLES and ROLES.index(held) >= ROLES.index(role)

    def name_of(self, person_id: str) -> str:
        """The name of a person by id, or the end of the id if the name is unknown."""
        return self.person.names.get(person_id) or short_id(person_id)

    async def form(self) -> Form:
        """The submitted form. Raises ServiceError, or the errors of `bodies.receive`."""
        bodies.check_head(self.request, self.console.body_limits)
        with self.console.budget.reserve(self.session.token) as reservation:
            body = await bodies.receive(self.request, reservation, self.console.body_limits)
            return form_of(self.request, body)

    async def page(self, template: str, *, status: int = 200, **context: Any) -> web.Response:
        """An answer with a page. `template` is its file in templates/."""
        response = web.Response(text=await self.text(template, **context), content_type="text/html", status=status)
        if self.flash is not None:
            self.console.cookies.forget_flash(response)
        if self.project is not None and self.session.project != self.project and self.request.method == "GET":
            session = replace(self.session, name=self.person.name, person_id=self.person.id, project=self.project)
            with suppress(TokenTooLong):  # the project does not fit in addition to the token
                self.console.cookies.keep_session(response, session)
        return response

    async def fragment(self, template: str, **context: Any) -> web.Response:
        """An answer with a part of a page, which a script inserts."""
        return web.Response(text=await self.text(template, **context), content_type="text/html")

    async def text(self, template: str, **context: Any) -> str:
        """The HTML of a page or of a part."""
        # In a thread, because a long page would delay all others.
        return await asyncio.to_thread(self.console.renderer.render, template, {**self._context(), **context})

    def go(self, path: str, good: str = "", *, bad: str = "") -> web.Response:
        """Redirect after a form, with a message for the next page."""
        response = web.Response(status=303, headers={"Location": path})
        if good or bad:
            flash = Flash("bad", bad) if bad else Flash("good", good)
            self.console.cookies.keep_flash(response, flash)
        return response

    def refused(self, path: str, error: ServiceError) -> web.Response:
        """Redirect after a refused form, with a message that says why and what to do."""
        return self.go(path, bad=sentence_of(error))

    def _context(self) -> dict[str, Any]:
        return {
            "visit": self,
            "person": self.person,
            "project": self.project,
            "may": self.may,
            "person_name": self.name_of,
            "path": self.request.path,
            "here": self.request.path_qs,
            "query": self.request.query,
            "form_key": lambda: self.unsettled_key or str(new_id()),
        }


VISIT = web.RequestKey("visit", Visit)
