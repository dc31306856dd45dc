"""Reads signed-in people and their projects from the workflow service. Caches them in case it is down."""

import asyncio
import time
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo

from cachetools import LRUCache

from console.cookies import Project, Session
from console.services import Services
from console.shown import word
from service_kit.errors import ServiceError, Unavailable
from service_kit.http.token_checks import digest_of
from service_kit.pb.flowpin.identity.v1 import identity_pb2 as pb

FRESH_SECONDS = 0.5
"""How long an answer is reused. Services refuse a revoked token within 1.2 s, and pages must do so within 2 s."""
REMEMBERED = 1_000
MAX_PROJECTS, MAX_USERS = 500, 500
"""The maximum page size of the services."""


@dataclass(frozen=True, slots=True)
class Person:
    """A signed-in person."""

    name: str
    email: str = ""
    id: str = ""
    """Empty for a service account."""
    zone: tzinfo = UTC
    names: Mapping[str, str] = field(default_factory=dict)
    """Names of everybody in the person's orgs, by id."""
    projects: tuple[Project, ...] = ()


@dataclass
class Directory:
    services: Services
    _remembered: LRUCache[bytes, tuple[float, Person]] = field(default_factory=lambda: LRUCache(REMEMBERED))

    async def look_up(self, token: str, metadata: Mapping[str, str]) -> Person:
        """The person of a token. Raises ServiceError: Unauthenticated for an invalid token."""
        key = digest_of(token)
        known = self._remembered.get(key)
        if known is not None and time.monotonic() - known[0] < FRESH_SECONDS:
            return known[1]
        try:
            person = await self._ask(metadata)
        except Unavailable:
            raise
        except ServiceError:
            self._remembered.pop(key, None)
            raise
        self._remembered[key] = time.monotonic(), person
        return person

    def last_known(self, session: Session) -> Person:
        """The cached person, for use while the workflow service does not answer. The deploy service still checks the
        token."""
        known = self._remembered.get(digest_of(session.token))
        if known is not None:
            return known[1]
        return Person(session.name, id=session.person_id, projects=(session.project,) if session.project else ())

    async def _ask(self, metadata: Mapping[str, str]) -> Person:
        call = self.services.call
        listed, users, me = await asyncio.gather(
            call(pb.ListProjectsRequest(page_size=MAX_PROJECTS), pb.ListProjectsResponse, metadata),
            call(pb.ListUsersRequest(page_size=MAX_USERS), pb.ListUsersResponse, metadata),
            self._me(metadata),
        )
        names = {each.id: each.name for each in users.data}
        projects = tuple(
            Project(each.id, each.name, tuple(each.environments), word(each.role, pb.ProjectRole))
            for each in listed.data
        )
        if me is None:
            return Person("Service account", names=names, projects=projects)
        name = f"{me.first_name} {me.last_name}".strip() or me.email or "Signed in"
        return Person(name, me.email, me.id, _zone(me.timezone), names, projects)

    async def _me(self, metadata: Mapping[str, str]) -> pb.Person | None:
        """None for a service account."""
        try:
            return (await self.services.call(pb.GetMeRequest(), pb.GetMeResponse, metadata)).data
        except ServiceError as error:
            if error.reason != "NOT_A_PERSON":
                raise
            return None


def _zone(name: str) -> tzinfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return UTC
