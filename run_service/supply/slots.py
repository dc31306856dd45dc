"""The slots of a replica: how many runs it has at a time, and the calls that wait for their turn."""

import asyncio
from collections import deque

from run_service.errors import NoReplica, NoSlot
from run_service.hosting.client import Connection
from run_service.settings import SupplyLimits
from service_kit.errors import ServiceError


class Slots:
    def __init__(self, limits: SupplyLimits) -> None:
        self._limits = limits
        self.connection: Connection | None = None
        """To the replica; None while none is up."""
        self._busy = 0
        self._waiters: deque[asyncio.Future[Connection]] = deque()

    @property
    def has_waiters(self) -> bool:
        return bool(self._waiters)

    def open(self, connection: Connection) -> None:
        """The replica is up."""
        self.connection = connection
        self._grant()

    def close(self) -> None:
        """It is not any more. Calls that wait go on waiting."""
        self.connection = None

    def refuse(self, error: ServiceError) -> None:
        """Fail all calls that wait: no replica comes up."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(error)

    def free(self) -> None:
        """Give a slot back."""
        self._busy -= 1
        self._grant()

    async def take(self) -> Connection:
        """Wait for a slot, in the order of asking; `free` gives it back.

        Raises NoSlot when too many calls wait, or this one too long; NoReplica when none is up by then; and what
        `refuse` is told.
        """
        if self.connection is not None and self._busy < self._limits.slots and not self._waiters:
            self._busy += 1
            return self.connection
        if len(self._waiters) >= self._limits.queue:
            raise NoSlot(self._limits.slots)
        waiter: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        wake_seconds = self._limits.wake_seconds if self.connection is None else 0
        try:
            async with asyncio.timeout(self._limits.queue_seconds + wake_seconds):
                return await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.free()  # the slot arrived together with the cancellation
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            if not isinstance(error, TimeoutError):
                raise
        if self.connection is None:
            raise NoReplica("The app takes too long to start.")
        raise NoSlot(self._limits.slots)

    def _grant(self) -> None:
        while self.connection is not None and self._busy < self._limits.slots and self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._busy += 1
                waiter.set_result(self.connection)
