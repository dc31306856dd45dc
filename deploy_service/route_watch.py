"""Streams routes to routers: first a snapshot, then the changes, which it reads after each signal."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Container, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from uuid import UUID

from deploy_service.repository import routers, routes
from deploy_service.repository.routes import AppRoute, RouteKey
from deploy_service.route_messages import deleted_message, keys_message, route_message
from deploy_service.signals import Topic
from service_kit.access.caller import Principal
from service_kit.access.file import Project, Role
from service_kit.access.registry import AccessRegistry
from service_kit.errors import TooManyRequests
from service_kit.pb.flowpin.routing.v1 import routing_pb2 as pb
from service_kit.pools import Pools
from service_kit.serving.guard import TokenInvalid
from service_kit.signals import Signal, Signals

LEASE = timedelta(seconds=10)
LOOK_SECONDS = 1.0
"""Seconds between two polls of all revisions and keys. They limit the delay when a signal is lost or a token is
revoked."""
HEARTBEAT_SECONDS = 5.0
ROUTES_AT_ONCE = 200
MOST_WATCHERS = 32
"""Maximum number of streams in this process."""


class RouteWatches:
    """The route streams of this process."""

    def __init__(self, pools: Pools, registry: AccessRegistry, signals: Signals, domain: str) -> None:
        self._pools = pools
        self._registry = registry
        self._signals = signals
        self._domain = domain
        self._is_closed = False
        self._watchers = 0

    def close(self) -> None:
        """End all streams, including those that start later."""
        self._is_closed = True
        self._signals.wake()

    async def watch(
        self, principal: Principal, router_id: UUID, name: str
    ) -> AsyncGenerator[pb.WatchRoutesResponse, None]:
        """Raises TooManyRequests, TokenInvalid once the token is no longer valid, or one of db.FAILURES."""
        if self._watchers == MOST_WATCHERS:
            raise TooManyRequests
        self._watchers += 1
        try:
            with self._signals.subscribe(Topic.ASKED, Topic.CHANGED, Topic.KEYS) as subscription:
                told = Told(self._pools, self._domain)
                loop = asyncio.get_running_loop()
                signals: set[Signal] | None = None
                looked_at = sent_at = float("-inf")
                while not self._is_closed:
                    projects = self._projects(principal)
                    if projects.keys() != told.projects.keys():
                        async with self._pools.hot.acquire() as db:
                            await routers.register(db, router_id, name, list(projects), LEASE)
                    everything = signals is None or projects != told.projects or loop.time() - looked_at > LOOK_SECONDS
                    if everything:
                        looked_at = loop.time()
                    async for response in told.news(projects, None if everything else signals):
                        yield response
                        sent_at = loop.time()
                    if loop.time() - sent_at >= HEARTBEAT_SECONDS - LOOK_SECONDS:
                        yield pb.WatchRoutesResponse()
                        sent_at = loop.time()
                    signals = await subscription.wait(LOOK_SECONDS)
        finally:
            self._watchers -= 1

    def _projects(self, principal: Principal) -> Mapping[UUID, Project]:
        current = self._registry.current(principal)
        if current is None:
            raise TokenInvalid
        return {each: current.projects[each] for each in current.projects_by_role[Role.RUNNER]}


class Told:
    """The revisions and keys that one router has received."""

    def __init__(self, pools: Pools, domain: str) -> None:
        self._pools = pools
        self._domain = domain
        self.projects: Mapping[UUID, Project] = {}
        self._apps: dict[UUID, tuple[UUID, int]] = {}
        """The project and the revision of each app, by the app's id."""
        self._keys: dict[UUID, list[RouteKey]] = {}
        self._is_complete = False

    async def news(
        self, projects: Mapping[UUID, Project], signals: set[Signal] | None
    ) -> AsyncIterator[pb.WatchRoutesResponse]:
        """The changes that the router has not received. With signals, only apps and projects that they name are
        read."""
        is_other = {each for each, project in projects.items() if self.projects.get(each) != project}
        self.projects = projects
        apps = None if signals is None else {thing for topic, thing in signals if topic is not Topic.KEYS}
        if signals is None or any(topic is Topic.KEYS for topic, _ in signals):
            async with self._pools.pages.acquire() as db:
                keys = await routes.find_keys(db, list(projects))
            if changed := list(self._changed_keys(projects, keys)):
                yield pb.WatchRoutesResponse(keys=changed)
        if apps is None or not apps <= self._apps.keys():
            async with self._pools.pages.acquire() as db:
                revisions = await routes.find_revisions(db, list(projects))
            changed_apps = [
                key
                for key, revision in revisions.items()
                if key[0] in is_other or self._apps.get(key[1]) != (key[0], revision)
            ]
            here = {app_id for _, app_id in revisions}
            changed_apps += [
                (project_id, app_id) for app_id, (project_id, _) in self._apps.items() if app_id not in here
            ]
        else:
            changed_apps = [(self._apps[app_id][0], app_id) for app_id in apps]
        for start in range(0, len(changed_apps), ROUTES_AT_ONCE):
            some = changed_apps[start : start + ROUTES_AT_ONCE]
            async with self._pools.hot.acquire() as db:
                found = await routes.find_routes(db, some)
            if messages := list(self._changed_routes(some, found, is_other)):
                yield pb.WatchRoutesResponse(routes=messages)
        if not self._is_complete:
            self._is_complete = True
            yield pb.WatchRoutesResponse(snapshot_complete=True)

    def _changed_routes(
        self, asked: Iterable[tuple[UUID, UUID]], found: Sequence[AppRoute], is_other: Container[UUID]
    ) -> Iterator[pb.Route]:
        """`is_other` contains the projects whose own data has changed."""
        for route in found:
            state = route.project_id, route.revision
            if self._apps.get(route.app_id) == state and route.project_id not in is_other:
                continue
            self._apps[route.app_id] = state
            yield route_message(route, self.projects[route.project_id], self._domain)
        here = {route.app_id for route in found}
        for project_id, app_id in asked:
            if app_id not in here and self._apps.pop(app_id, None) is not None:
                yield deleted_message(project_id, app_id)

    def _changed_keys(self, projects: Iterable[UUID], found: Iterable[RouteKey]) -> Iterator[pb.ProjectKeys]:
        keys = {project_id: list(some) for project_id, some in groupby(found, key=lambda key: key.project_id)}
        for project_id in {*projects, *self._keys}:
            if keys.get(project_id, []) != self._keys.get(project_id, []):
                yield keys_message(project_id, keys.get(project_id, []))
        self._keys = keys
