"""The replicas of one deployment. They start when needed, serve several calls, and are replaced when they end or are
worn."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress

import structlog
from prometheus_client import Counter, Gauge

from run_service.errors import NoReplica
from run_service.hosting.client import Connection, HostGone, ReplicaFailed, ReplicaGone, ReplicaSpec, ReplicaUsage
from run_service.settings import SupplyLimits
from run_service.supply.group_replica import GroupReplica
from run_service.supply.host_link import HostLink
from run_service.supply.slots import Slots
from run_service.supply.starts import StartFailed, StartPause
from service_kit.errors import ServiceError

REPLICAS = Gauge("flowpin_replicas", "Replicas that are up.")
STARTS = Counter("flowpin_replica_starts_total", "Starts of replicas.", ["outcome"])

log = structlog.get_logger()


class ReplicaGroup:
    """`keep` runs as long as the group exists. All other methods only change the wanted state and wake it."""

    def __init__(self, make_spec: Callable[[], Awaitable[ReplicaSpec]], hosts: HostLink, limits: SupplyLimits) -> None:
        """`make_spec` returns the spec of a new replica. It may raise ServiceError."""
        self._make_spec = make_spec
        self._hosts = hosts
        self._limits = limits
        self._slots = Slots(limits)
        self._starting = 0
        self._held = 0
        """Number of calls that are bound to the group, with or without a slot."""
        self._watchers: list[asyncio.Future[None]] = []
        """Callers that wait until the replicas are up or a start fails."""
        self._kept_up = 0
        self._stay_until = 0.0
        self._is_retired = False
        self._failure: StartFailed | None = None
        self._pause = StartPause()
        self._changed = asyncio.Event()
        self._freed = asyncio.Event()
        """Set when a replica was stopped, or the group is needed again."""
        self.is_over = False
        """True when `keep` has returned. The group then serves no calls."""

    @property
    def is_up(self) -> bool:
        """Whether at least one replica is up."""
        return bool(self._slots.replicas)

    @property
    def is_whole(self) -> bool:
        """Whether at least one replica is up, and as many as must be kept up."""
        return len(self._slots.replicas) >= max(1, self._kept_up)

    @property
    def spared_until(self) -> tuple[bool, float] | None:
        """The sort key for stopping idle replicas early: retired groups first, then by the time of their stop. None
        while the replicas are needed."""
        if self._kept_up or self._held or self._watchers or self._starting or not self.is_up:
            return None
        return (not self._is_retired, self._stay_until) if time.monotonic() < self._stay_until else None

    async def end_early(self) -> None:
        """Stop idle replicas now. Returns once one has stopped, or the group is needed again."""
        self._stay_until = 0
        self._freed.clear()
        self._changed.set()
        await self._freed.wait()

    def want(self, *, keep_up: int) -> None:
        """The group serves a deployment that is live or will be. `keep_up` replicas stay up even without calls."""
        if self._kept_up and not keep_up:
            self._used()
        self._kept_up, self._is_retired = keep_up, False
        self._freed.set()
        self._changed.set()

    def retire(self, warm_seconds: float) -> None:
        """No live deployment uses the group any more. Its replicas stay up for `warm_seconds`, and while calls are
        bound to it."""
        if not self._is_retired:
            self._is_retired, self._kept_up = True, 0
            self._stay_until = time.monotonic() + warm_seconds
            self._changed.set()

    async def brought_up(self, *, at_once: bool = False) -> None:
        """Return once `is_whole` is true. Raises StartFailed if the next start fails.

        The next start follows after the pause, or immediately with `at_once`.
        """
        if self.is_whole:
            return
        watcher = asyncio.get_running_loop().create_future()
        self._watchers.append(watcher)
        if at_once:
            self._pause.end()
        self._changed.set()
        try:
            await watcher
        finally:
            if watcher in self._watchers:  # this caller was canceled
                self._watchers.remove(watcher)

    @contextmanager
    def bound(self) -> Iterator[None]:
        """Bind a call to the group until the block ends. The group keeps a replica until then."""
        self._held += 1
        self._freed.set()
        try:
            yield
        finally:
            self._held -= 1
            self._used()
            self._changed.set()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Connection]:
        """A slot of a replica, which is started if needed. Only for bound calls. Raises NoSlot or NoReplica."""
        if not self.is_up and self._failure is not None and self._pause.seconds > 0:
            raise self._no_replica(self._failure)
        self._changed.set()  # `keep` runs when this call waits
        replica = await self._slots.take()
        if replica.runs >= self._limits.recycle_runs and not replica.worn:
            replica.worn = f"it has had {replica.runs} runs"
            self._changed.set()
        try:
            yield replica.connection
        finally:
            self._slots.free(replica)

    def lost(self, connection: Connection, why: str) -> None:
        """The other end of the connection was closed."""
        for replica in self._slots.replicas:
            if replica.connection is connection:
                self._lose(replica, why)
                return

    def note_usage(self, usage: Mapping[str, ReplicaUsage]) -> None:
        """Mark replicas for replacement whose memory has grown beyond the limit."""
        for replica in self._slots.replicas:
            found = usage.get(replica.id)
            if found is not None and found.grown_bytes > self._limits.recycle_bytes and not replica.worn:
                replica.worn = f"it has {found.grown_bytes >> 20} MiB of its own"
                self._changed.set()

    async def keep(self) -> None:
        """Keep the wanted replicas up. Returns once the group is retired and no call is bound to it."""
        async with asyncio.TaskGroup() as lives:
            while True:
                self._changed.clear()
                if self.is_whole:
                    self._tell_watchers(None)
                wanted = self._wanted()
                self._start(self._missing(wanted), lives)
                self._drain(len(self._slots.replicas) - wanted)
                if self._is_retired and not self._held and wanted == 0 and not self._starting:
                    self.is_over = True
                    return
                await self._wait(self._seconds_to_wait())

    def _wanted(self) -> int:
        """The wanted number of replicas."""
        if self._kept_up:
            return self._kept_up
        fresh = sum(not replica.worn for replica in self._slots.replicas)
        if self._slots.has_waiters or self._watchers:
            return max(1, fresh)
        is_staying = self._held > 0 or time.monotonic() < self._stay_until
        return max(fresh, min(1, len(self._slots.replicas))) if is_staying else 0

    def _missing(self, wanted: int) -> int:
        """Number of replicas to start now: all missing ones, or one to replace a worn one."""
        if self._pause.seconds > 0:
            return 0
        missing = wanted - len(self._slots.replicas) - self._starting
        if missing == 0 and wanted and not self._is_retired and not self._starting:
            return int(any(replica.worn for replica in self._slots.replicas))
        return missing

    def _start(self, count: int, lives: asyncio.TaskGroup) -> None:
        for _ in range(count):
            self._starting += 1
            lives.create_task(self._live())

    def _drain(self, count: int) -> None:
        """Drain `count` replicas: worn ones first, then those with the fewest runs."""
        order = sorted(self._slots.replicas, key=lambda replica: (not replica.worn, replica.busy))
        for replica in order[: max(0, count)]:
            if replica.worn:
                log.info("replica_recycled", replica=replica.id, reason=replica.worn)
            self._slots.close(replica)
            replica.drain()

    async def _live(self) -> None:
        """Start a replica and let it serve until it is lost or drained."""
        replica = None
        try:
            async with asyncio.timeout(self._limits.start_seconds) as starting:
                began = time.monotonic()
                spec = await self._make_spec()
                async with self._hosts.replica(spec) as (host, found), host.connect(found.id) as connection:
                    starting.reschedule(None)
                    up = replica = GroupReplica(found.id, connection)
                    self._up(replica, time.monotonic() - began)
                    with self._hosts.watching(replica.id, lambda why: self._lose(up, why)):
                        await replica.over.wait()
                    if not replica.is_lost:
                        log.info("replica_stopped", replica=replica.id)
                        with suppress(HostGone):
                            await host.stop(replica.id, self._limits.grace_seconds)
        except ReplicaFailed as error:
            self._failed(StartFailed(error.reason, error.message, is_final=True))
        except (HostGone, ReplicaGone) as error:
            self._failed(StartFailed("HOST_UNREACHABLE", str(error), is_final=False))
        except ServiceError as error:
            self._failed(StartFailed(error.reason, error.message, is_final=False))
        except TimeoutError:
            message = f"The replica was not up after {self._limits.start_seconds:g} s."
            self._failed(StartFailed("START_TIMED_OUT", message, is_final=False))
        finally:
            if replica is None:
                self._starting -= 1
            else:
                self._slots.close(replica)
                REPLICAS.dec()
            self._freed.set()
            self._changed.set()

    def _up(self, replica: GroupReplica, seconds: float) -> None:
        self._starting -= 1
        self._failure = None
        REPLICAS.inc()
        STARTS.labels("up").inc()
        log.info("replica_started", replica=replica.id, seconds=round(seconds, 3))
        self._used()
        self._slots.open(replica)
        self._changed.set()

    def _lose(self, replica: GroupReplica, why: str) -> None:
        if replica.over.is_set():
            return
        self._slots.close(replica)
        replica.lose()
        log.warning("replica_lost", replica=replica.id, error=why)
        self._pause.note_end(time.monotonic() - replica.up_at)
        self._changed.set()

    def _failed(self, failure: StartFailed) -> None:
        STARTS.labels("failed").inc()
        log.warning("replica_not_started", reason=failure.reason, error=failure.message)
        self._failure = failure
        self._pause.note_end(0)
        self._tell_watchers(failure)
        if not self.is_up:
            self._slots.refuse(self._no_replica(failure))

    def _tell_watchers(self, failure: StartFailed | None) -> None:
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            if watcher.done():
                continue
            if failure is None:
                watcher.set_result(None)
            else:
                watcher.set_exception(failure)

    def _no_replica(self, failure: StartFailed) -> NoReplica:
        return NoReplica(f"The app cannot be started: {failure.message}", max(1.0, self._pause.seconds))

    def _used(self) -> None:
        if not self._is_retired:
            self._stay_until = time.monotonic() + self._limits.idle_seconds

    def _seconds_to_wait(self) -> float | None:
        """Seconds until the next start or the end of the idle time. None means until something changes."""
        times = [self._pause.seconds] if self._pause.seconds > 0 else []
        if self.is_up and not self._kept_up and not self._held:
            times.append(max(0.0, self._stay_until - time.monotonic()))
        return min(times, default=None)

    async def _wait(self, seconds: float | None) -> None:
        """Return when something has changed, or after `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
