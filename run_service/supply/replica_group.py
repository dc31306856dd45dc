"""The replica of one deployment: started when it is wanted, shared by calls, started again when it dies.

In this version there is one a group, whatever `min_replicas` says.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import structlog
from prometheus_client import Counter, Gauge

from run_service.errors import NoReplica
from run_service.hosting.client import Connection, HostGone, ReplicaFailed, ReplicaGone, ReplicaSpec
from run_service.settings import SupplyLimits
from run_service.supply.host_link import HostLink
from run_service.supply.slots import Slots
from service_kit.errors import ServiceError

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 10.0
"""A replica that ends sooner than this after its start counts as one that did not start."""

REPLICAS = Gauge("flowpin_replicas", "Replicas that are up.")
STARTS = Counter("flowpin_replica_starts_total", "Starts of replicas.", ["outcome"])

log = structlog.get_logger()


class StartFailed(Exception):
    """A replica did not come up. The message is for the person who deployed."""

    def __init__(self, reason: str, message: str, *, is_final: bool) -> None:
        """`is_final`: another try would end the same."""
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.is_final = is_final


class ReplicaGroup:
    """`keep` runs as long as the group does. Everything else only says what is wanted, and wakes it."""

    def __init__(self, make_spec: Callable[[], Awaitable[ReplicaSpec]], hosts: HostLink, limits: SupplyLimits) -> None:
        """`make_spec` says what a replica is made from. It may raise ServiceError."""
        self._make_spec = make_spec
        self._hosts = hosts
        self._limits = limits
        self._slots = Slots(limits)
        self._held = 0
        """Calls that are bound to the group, whether or not they have a slot."""
        self._watchers: list[asyncio.Future[None]] = []
        """Those who wait for the replica to be up, or not to start."""
        self._keep_up = False
        self._stay_until = 0.0
        self._is_retired = False
        self._pause = 0.0
        self._failure: StartFailed | None = None
        self._retry_at = 0.0
        self._changed = asyncio.Event()
        self.is_over = False
        """`keep` has returned: the group serves nothing any more."""

    @property
    def is_up(self) -> bool:
        return self._slots.connection is not None

    def want(self, *, keep_up: bool) -> None:
        """The group serves what is live or about to be. With `keep_up` its replica is up without a call, too."""
        if self._keep_up and not keep_up:
            self._used()
        self._keep_up, self._is_retired = keep_up, False
        self._changed.set()

    def retire(self, warm_seconds: float) -> None:
        """Nothing live is made from it. Its replica stays up for so long, and until no call is bound to it."""
        if not self._is_retired:
            self._is_retired, self._keep_up = True, False
            self._stay_until = time.monotonic() + warm_seconds
            self._changed.set()

    async def brought_up(self, *, at_once: bool = False) -> None:
        """Return once a replica is up. Raises StartFailed when the next try fails.

        That is made when the pause after the last one is over, or `at_once`.
        """
        if self.is_up:
            return
        watcher = asyncio.get_running_loop().create_future()
        self._watchers.append(watcher)
        if at_once:
            self._retry_at = 0
        self._changed.set()
        try:
            await watcher
        finally:
            if watcher in self._watchers:  # it was canceled
                self._watchers.remove(watcher)

    @contextmanager
    def bound(self) -> Iterator[None]:
        """Keep what there is until the block ends: a call is bound to it."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            self._used()
            self._changed.set()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Connection]:
        """A slot of the replica, which is started if need be. Raises NoSlot or NoReplica. For a call that is bound."""
        if not self.is_up and self._failure is not None and time.monotonic() < self._retry_at:
            raise self._no_replica(self._failure)
        self._changed.set()  # seen once this call waits
        connection = await self._slots.take()
        try:
            yield connection
        finally:
            self._slots.free()

    def lost(self, connection: Connection, why: str) -> None:
        """The connection has no other end any more."""
        if self._slots.connection is connection:
            self._down()
            log.warning("replica_lost", error=why)
            self._changed.set()

    async def keep(self) -> None:
        """Have a replica up while one is wanted. Returns once the group is retired and no call is bound to it."""
        while True:
            self._changed.clear()
            if self._is_wanted():
                pause = self._retry_at - time.monotonic()
                if pause <= 0:
                    await self._serve_once()
                else:
                    await self._wait(pause)
            elif self._is_retired and not self._held:
                self.is_over = True
                return
            else:
                await self._wait(None)

    async def _serve_once(self) -> None:
        """Start a replica, and have it serve until it is lost or not wanted any more."""
        try:
            async with asyncio.timeout(self._limits.start_seconds) as starting:
                began = time.monotonic()
                spec = await self._make_spec()
                async with self._hosts.replica(spec) as (host, replica), host.connect(replica.id) as connection:
                    starting.reschedule(None)
                    self._up(connection, replica.id, time.monotonic() - began)
                    with self._hosts.watching(replica.id, lambda why: self.lost(connection, why)):
                        await self._serve(connection)
                    if self._slots.connection is connection:
                        self._down()
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
            self._down()

    async def _serve(self, connection: Connection) -> None:
        """Return when the replica is lost, or has not been wanted for as long as it stays."""
        began = time.monotonic()
        while True:
            self._changed.clear()
            seconds = self._seconds_to_stay()
            if self._slots.connection is not connection:
                is_steady = time.monotonic() - began >= STEADY_SECONDS
                self._pause = 0 if is_steady else self._longer_pause()
                self._retry_at = time.monotonic() + self._pause
                return
            if seconds is not None and seconds <= 0:
                return
            await self._wait(seconds)

    def _up(self, connection: Connection, replica_id: str, seconds: float) -> None:
        self._failure = None
        REPLICAS.inc()
        STARTS.labels("up").inc()
        log.info("replica_started", replica=replica_id, seconds=round(seconds, 3))
        self._used()
        self._slots.open(connection)
        self._tell_watchers(None)

    def _down(self) -> None:
        if self.is_up:
            self._slots.close()
            REPLICAS.dec()

    def _failed(self, failure: StartFailed) -> None:
        self._down()
        STARTS.labels("failed").inc()
        log.warning("replica_not_started", reason=failure.reason, error=failure.message)
        self._failure = failure
        self._pause = self._longer_pause()
        self._retry_at = time.monotonic() + self._pause
        self._tell_watchers(failure)
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

    def _longer_pause(self) -> float:
        return min(max(FIRST_PAUSE_SECONDS, 2 * self._pause), LONGEST_PAUSE_SECONDS)

    def _no_replica(self, failure: StartFailed) -> NoReplica:
        return NoReplica(f"The app cannot be started: {failure.message}", max(1.0, self._retry_at - time.monotonic()))

    def _used(self) -> None:
        if not self._is_retired:
            self._stay_until = time.monotonic() + self._limits.idle_seconds

    def _is_wanted(self) -> bool:
        return self._keep_up or self._slots.has_waiters or bool(self._watchers)

    def _seconds_to_stay(self) -> float | None:
        """None: until something changes."""
        if self._held or self._is_wanted():
            return None
        return self._stay_until - time.monotonic()

    async def _wait(self, seconds: float | None) -> None:
        """Return when something has changed, or after `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
