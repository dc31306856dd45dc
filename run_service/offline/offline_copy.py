"""Stores the last routes, and the documents and variables that their replicas load."""

import asyncio
import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import msgspec
import structlog
from google.protobuf.message import DecodeError

from run_service.offline.sealed_folder import SealedFolder, Unusable
from run_service.supply.routes import MadeFrom, route_from
from service_kit.pb.flowpin.routing.v1 import routing_pb2 as pb

ROUTES = "routes"
LOADABLE = re.compile(r"loadable-[0-9a-f-]{36}-[0-9a-f]{64}")
VARIABLES = re.compile(r"(variables-[0-9a-f-]{36}-[0-9a-f]{32})-([0-9]+)")

T = TypeVar("T")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OldRoutes:
    routes: pb.WatchRoutesResponse
    """A whole snapshot."""
    written_at: datetime


class OfflineCopy:
    """The offline copy. Unusable files are ignored, logged and reported by health."""

    def __init__(self, folder: SealedFolder, max_bytes: int) -> None:
        """`max_bytes` is the limit of all files together."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._sizes: dict[str, int] = {}
        """Sizes of the existing files."""
        self._unusable: dict[str, str] = {}
        """Why files are unusable, by name."""
        self._checked: set[str] = set()
        """Files that were opened or written since the start."""
        self.not_kept = ""
        """Why the copy is incomplete. Empty if it is complete."""

    async def problem(self) -> str | None:
        """The problem of the copy, or None."""
        said = [f"the file {name} cannot be used: {why}" for name, why in list(self._unusable.items())[:1]]
        return "; ".join([*said, *([self.not_kept] if self.not_kept else [])]) or None

    async def old_routes(self) -> OldRoutes | None:
        """The routes that were written last. They have no rollouts, because only the deploy service starts rollouts
        again."""
        return await asyncio.to_thread(self._old_routes)

    async def loadable(self, made_from: MadeFrom) -> bytes | None:
        name = loadable_name(made_from)
        found = await asyncio.to_thread(self._usable, name, lambda content: content)
        return found[0] if found else None

    async def variables(self, made_from: MadeFrom) -> Mapping[str, str] | None:
        decode = msgspec.json.Decoder(dict[str, str]).decode
        found = await asyncio.to_thread(self._usable, variables_name(made_from), decode)
        return found[0] if found else None

    def names(self) -> set[str]:
        """The existing files. Each is opened once, because the key may have changed since the last start. Creates the
        folder if needed. Blocks. Raises OSError."""
        self._folder.make()
        self._sizes = self._folder.sizes()
        for name in filter(is_ours, self._sizes.keys() - self._checked):
            self._usable(name, len)
        self._checked.update(self._sizes)
        return set(self._sizes)

    def write_routes(self, routes: pb.WatchRoutesResponse) -> None:
        """Blocks. Raises OSError."""
        self._write(ROUTES, _without_rollouts(routes).SerializeToString(deterministic=True))

    def write_loadable(self, made_from: MadeFrom, document: bytes) -> bool:
        """Returns whether there was room for the document. Blocks. Raises OSError."""
        return self._write_if_it_fits(loadable_name(made_from), document)

    def write_variables(self, made_from: MadeFrom, variables: Mapping[str, str]) -> bool:
        """Blocks. Raises OSError."""
        return self._write_if_it_fits(variables_name(made_from), msgspec.json.encode(variables))

    def prune(self, needed: Collection[str]) -> None:
        """Remove all other files of this format. Variables stay until newer ones are stored. Blocks. Raises OSError."""
        missing = {_stem_of(name) for name in needed if name not in self._sizes}
        for name in list(self._sizes):
            is_needed = name == ROUTES or name in needed or _stem_of(name) in missing
            if is_ours(name) and not is_needed:
                self._folder.remove(name)
                self._sizes.pop(name, None)
                self._unusable.pop(name, None)

    def _old_routes(self) -> OldRoutes | None:
        found = self._usable(ROUTES, _routes_of)
        if found is None:
            return None
        routes, written_at = found
        try:
            names = set(self._folder.sizes())
        except OSError:
            names = set()
        for route in routes.routes:
            for environment in route.environments:
                if environment.HasField("live"):
                    _use_variables_of(names, route, environment)
        return OldRoutes(routes, written_at)

    def _usable(self, name: str, decode: Callable[[bytes], T]) -> tuple[T, datetime] | None:
        try:
            found = self._folder.read(name)
            return (decode(found[0]), found[1]) if found else None
        except (Unusable, OSError, DecodeError, msgspec.DecodeError, ValueError) as error:
            if name not in self._unusable:
                log.warning("offline_file_unusable", file=name, error=str(error))
            self._unusable[name] = str(error)
            return None

    def _write_if_it_fits(self, name: str, content: bytes) -> bool:
        if sum(self._sizes.values()) + len(content) > self._max_bytes:
            return False
        self._write(name, content)
        return True

    def _write(self, name: str, content: bytes) -> None:
        self._sizes[name] = self._folder.write(name, content)
        self._checked.add(name)
        self._unusable.pop(name, None)

    def is_usable(self, name: str) -> bool:
        """Whether no problem has been found with the file."""
        return name not in self._unusable


def loadable_name(made_from: MadeFrom) -> str:
    return f"loadable-{made_from.project_id}-{made_from.loadable_digest}"


def variables_name(made_from: MadeFrom) -> str:
    return f"{_variables_stem(made_from.app_id, made_from.environment)}-{made_from.variables_revision}"


def is_ours(name: str) -> bool:
    return name == ROUTES or bool(LOADABLE.fullmatch(name) or VARIABLES.fullmatch(name))


def _variables_stem(app_id: UUID, environment: str) -> str:
    """Contains a hash of the environment, whose name may not be a valid file name."""
    return f"variables-{app_id}-{hashlib.sha256(environment.encode()).hexdigest()[:32]}"


def _stem_of(name: str) -> str:
    """The part that all variable files of an environment share. For other files, the name itself."""
    found = VARIABLES.fullmatch(name)
    return found[1] if found else name


def _routes_of(content: bytes) -> pb.WatchRoutesResponse:
    """Raises DecodeError or ValueError."""
    routes = pb.WatchRoutesResponse.FromString(content)
    for route in routes.routes:
        route_from(route)
    return routes


def _without_rollouts(routes: pb.WatchRoutesResponse) -> pb.WatchRoutesResponse:
    kept = pb.WatchRoutesResponse()
    kept.CopyFrom(routes)
    for route in kept.routes:
        for environment in route.environments:
            environment.ClearField("rolling_out")
    return kept


def _use_variables_of(names: set[str], route: pb.Route, environment: pb.EnvironmentRoute) -> None:
    """Set the pin's revision to that of the stored variables, because newer ones may not have been stored.

    The snapshot of the deploy service then has another revision, so a new replica starts with the newer variables.
    """
    stem = _variables_stem(UUID(route.app_id), environment.environment)
    if f"{stem}-{environment.live.variables_revision}" in names:
        return
    found = [match for name in names if (match := VARIABLES.fullmatch(name)) and match[1] == stem]
    if found:
        environment.live.variables_revision = max(int(match[2]) for match in found)
