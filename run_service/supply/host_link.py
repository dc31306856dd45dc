"""Keeps the connection to the host process, and reopens it when it is lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import structlog

from run_service.hosting.client import (
    HOST_FULL,
    HostClient,
    HostGone,
    Replica,
    ReplicaFailed,
    ReplicaSpec,
    ReplicaUsage,
    open_host,
)
from service_kit.lifecycle import in_background

PAUSE_SECONDS = 0.2
"""Seconds between two tries to connect."""
STARTS = 16
"""Maximum replicas that start at the same time."""
LEFTOVER_GRACE_SECONDS = 1.0

log = structlog.get_logger()


class HostLink:
    def __init__(self, socket: Path, grace_seconds: float) -> None:
        self._socket = socket
        self._grace_seconds = grace_seconds
        self._host: HostClient | None = None
        self._watchers: dict[str, Callable[[str], None]] = {}
        """Callbacks by replica. Each receives the reason for its end."""
        self._leftovers: dict[str, Replica] = {}
        """Replicas that an earlier router left running, by id."""
        self._starts = asyncio.Semaphore(STARTS)
        self.make_room: Callable[[], Awaitable[bool]] = _has_nothing_to_spare
        """Called when the host runs its maximum number of replicas. It ends a replica that is not needed, or returns
        False."""

    async def problem(self) -> str | None:
        """The reason why replicas cannot start, or None."""
        return None if self._host else f"the host process does not answer at {self._socket}"

    async def follow(self) -> None:
        """Keep the connection open until canceled."""
        is_news = True
        while True:
            error = ""
            try:
                async with open_host(self._socket, self._grace_seconds) as host:
                    self._leftovers = {each.id: each for each in await host.list() if each.id not in self._watchers}
                    self._host = host
                    log.info("host_connected", leftovers=len(self._leftovers))
                    is_news = True
                    async for ending in host.ended():
                        self._leftovers.pop(ending.replica.id, None)
                        self._tell(ending.replica.id, ending.message)
            except HostGone as gone:
                error = str(gone)
            self._host, self._leftovers = None, {}
            if is_news:
                log.warning("host_lost", error=error)
                is_news = False
            for replica_id in list(self._watchers):
                self._tell(replica_id, error)
            await asyncio.sleep(PAUSE_SECONDS)

    @asynccontextmanager
    async def replica(self, spec: ReplicaSpec) -> AsyncIterator[tuple[HostClient, Replica]]:
        """A replica for `spec`: one that was left running, or a new one. It continues to run after the block.

        Raises ReplicaFailed or HostGone.
        """
        async with self._starts:
            host = self._host
            if host is None:
                raise HostGone(f"The host process of apps does not answer at {self._socket}.")
            replica = self._take_leftover(spec) or await self._started(host, spec)
        yield host, replica

    async def usage(self) -> Mapping[str, ReplicaUsage]:
        """Usage by replica. Empty while the host does not answer."""
        if self._host is not None:
            with suppress(HostGone):
                return await self._host.usage()
        return {}

    @contextmanager
    def watching(self, replica_id: str, ended: Callable[[str], None]) -> Iterator[None]:
        """Call `ended` with the reason when the replica ends or the host is lost."""
        self._watchers[replica_id] = ended
        try:
            yield
        finally:
            self._watchers.pop(replica_id, None)

    @property
    def leftovers(self) -> list[Replica]:
        return list(self._leftovers.values())

    async def stop_leftover(self, replica: Replica) -> None:
        """Stop a replica that an earlier router left and that is not needed."""
        if self._host is not None and self._leftovers.pop(replica.id, None) is not None:
            log.info("leftover_replica_stopped", replica=replica.id, deployment=replica.deployment_id)
            with suppress(HostGone):
                await self._host.stop(replica.id, LEFTOVER_GRACE_SECONDS)

    async def _started(self, host: HostClient, spec: ReplicaSpec) -> Replica:
        while True:
            try:
                return await host.start(spec)
            except ReplicaFailed as error:
                if error.reason != HOST_FULL or not await self.make_room():
                    raise

    def _take_leftover(self, spec: ReplicaSpec) -> Replica | None:
        for replica in self._leftovers.values():
            if is_made_from(replica, spec):
                return self._leftovers.pop(replica.id)
        return None

    def _tell(self, replica_id: str, why: str) -> None:
        watcher = self._watchers.pop(replica_id, None)
        if watcher is not None:
            watcher(why)


async def _has_nothing_to_spare() -> bool:
    return False


def is_made_from(replica: Replica, spec: ReplicaSpec) -> bool:
    return (replica.project_id, replica.digest, replica.slots, dict(replica.labels)) == (
        spec.project_id,
        spec.digest,
        spec.slots,
        dict(spec.labels),
    )


@asynccontextmanager
async def open_host_link(socket: Path, grace_seconds: float) -> AsyncIterator[HostLink]:
    link = HostLink(socket, grace_seconds)
    async with in_background(link.follow()):
        yield link
