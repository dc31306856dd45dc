"""The current routes and keys. They remain while the deploy service is unreachable."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from run_service.model import AccessKey
from run_service.supply.routes import Route, keys_from, route_from
from service_kit.pb.flowpin.routing.v1 import routing_pb2 as pb


class RouteTable:
    def __init__(self) -> None:
        self.is_known = False
        """Whether a complete snapshot was received or found on disk."""
        self.old_since: datetime | None = None
        """When the routes from disk were written. None once the deploy service has sent its own."""
        self._messages: dict[UUID, pb.Route] = {}
        self._key_messages: dict[UUID, pb.ProjectKeys] = {}
        self._routes: dict[UUID, Route] = {}
        self._keys: dict[UUID, Mapping[bytes, AccessKey]] = {}
        """Keys by project, then by hash."""
        self._by_hash: dict[bytes, AccessKey] = {}

    @property
    def is_current(self) -> bool:
        """Whether the routes are from the deploy service, not from disk."""
        return self.is_known and self.old_since is None

    @property
    def routes(self) -> Iterable[Route]:
        return self._routes.values()

    def route(self, app_id: UUID) -> Route | None:
        return self._routes.get(app_id)

    def key(self, key_hash: bytes) -> AccessKey | None:
        """The key with this SHA-256, of any project. None if it never existed or was revoked."""
        return self._by_hash.get(key_hash)

    def project_of(self, app_id: UUID) -> UUID | None:
        route = self._routes.get(app_id)
        return route.project_id if route is not None else None

    def snapshot(self) -> pb.WatchRoutesResponse:
        """The whole table, as one message."""
        return pb.WatchRoutesResponse(
            snapshot_complete=True, routes=self._messages.values(), keys=self._key_messages.values()
        )

    def change(self, messages: Iterable[pb.WatchRoutesResponse]) -> list[Route]:
        """Apply changes. Returns the changed routes, without those of deleted apps."""
        changed = []
        for message in messages:
            for route in message.routes:
                if route.deleted:
                    self._routes.pop(UUID(route.app_id), None)
                    self._messages.pop(UUID(route.app_id), None)
                else:
                    changed.append(route_from(route))
                    self._routes[changed[-1].app_id] = changed[-1]
                    self._messages[changed[-1].app_id] = route
            for keys in message.keys:
                self._keys[UUID(keys.project_id)] = keys_from(keys)
                self._key_messages[UUID(keys.project_id)] = keys
            if message.keys:
                self._by_hash = {key_hash: key for keys in self._keys.values() for key_hash, key in keys.items()}
        return changed

    def replace(self, snapshot: Iterable[pb.WatchRoutesResponse]) -> list[Route]:
        """Replace the table by a complete snapshot. Returns its routes."""
        self._routes, self._keys, self._by_hash = {}, {}, {}
        self._messages, self._key_messages = {}, {}
        changed = self.change(snapshot)
        self.is_known, self.old_since = True, None
        return changed

    def take_up_old(self, snapshot: pb.WatchRoutesResponse, written_at: datetime) -> None:
        """Use a snapshot from disk until the deploy service sends its own."""
        self.replace([snapshot])
        self.old_since = written_at
