"""Finds the deployment of a call, and checks its caller. Needs only the head of the request."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from run_service.errors import (
    AppNotServed,
    KeyInvalid,
    KeyMissing,
    KeyOfOtherProject,
    NotAnAccessKey,
    RoutesUnknown,
)
from run_service.model import AccessKey
from run_service.router.names import AppName
from run_service.supply.route_table import RouteTable
from run_service.supply.routes import Pin, Route
from service_kit.access.file import TOKEN_PREFIX


@dataclass(frozen=True, slots=True)
class Target:
    """The deployment that a call uses until its answer ends."""

    route: Route
    environment: str
    pin: Pin
    key: AccessKey | None
    """None for a public app or a person."""
    user_id: UUID | None = None
    """The person who invokes the app, if it is one."""

    @property
    def principal(self) -> UUID:
        """The principal for limits. All callers of a public app are one principal."""
        return self.route.app_id if self.key is None else self.key.id


def find_route(table: RouteTable, app: AppName) -> Route:
    """Raises RoutesUnknown or AppNotServed."""
    if not table.is_known:
        raise RoutesUnknown
    route = table.route(app.app_id)
    if route is None:
        raise AppNotServed
    return route


def find_target(table: RouteTable, route: Route, environment: str | None, authorization: str | None) -> Target:
    """Raises KeyMissing, KeyInvalid, NotAnAccessKey, KeyOfOtherProject or AppNotServed."""
    key = None if route.is_public else _key_of(table, route.project_id, authorization)
    return Target(route, *find_live(route, environment), key)


def find_live(route: Route, environment: str | None) -> tuple[str, Pin]:
    """The environment's name and its live pin. Raises AppNotServed."""
    if route.is_archived:
        raise AppNotServed("The app is archived.")
    found = route.environment(environment)
    if found is None:
        raise AppNotServed("The app has no such environment.")
    if found.live is None:
        raise AppNotServed(f"Nothing is live in the app's environment {found.name}.")
    return found.name, found.live


def _key_of(table: RouteTable, project_id: UUID, authorization: str | None) -> AccessKey:
    scheme, _, secret = (authorization or "").partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        raise KeyMissing
    if secret.startswith(TOKEN_PREFIX):
        raise NotAnAccessKey
    key = table.key(hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest())
    if key is None or key.is_expired(datetime.now(UTC)):
        raise KeyInvalid
    if key.project_id != project_id:
        raise KeyOfOtherProject
    return key
