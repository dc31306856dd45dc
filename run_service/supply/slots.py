"""Assigns the slots of a group's replicas to calls, and queues the calls that wait."""

import asyncio
from collections import deque

from run_service.errors import NoReplica, NoSlot
from run_service.settings import SupplyLimits
from run_service.supply.group_replica import GroupReplica
from service_kit.errors import ServiceError


class Slots:
    def __init__(self, limits: SupplyLimits) -> None:
        self._limits = limits
        self.replicas: list[GroupReplica] = []
        """Replicas that accept runs."""
        self._waiters: deque[asyncio.Future[GroupReplica]] = deque()

    @property
    def has_waiters(self) -> bool:
        return bool(self._waiters)

    def open(self, replica: GroupReplica) -> None:
        """The replica accepts runs."""
        self.replicas.append(replica)
        self._grant()

    def close(self, replica: GroupReplica) -> None:
        """The replica accepts no more runs. Waiting calls keep waiting."""
        if replica in self.replicas:
            self.replicas.remove(replica)

    def refuse(self, error: ServiceError) -> None:
        """Fail all waiting calls, because no replica starts."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(error)

    def free(self, replica: GroupReplica) -> None:
        """Return a slot."""
        replica.free()
        self._grant()

    async def take(self) -> GroupReplica:
        """Wait for a slot on the replica with the fewest runs, first come first served. `free` returns the slot.

        Raises NoSlot if too many calls wait or this one waits too long. Raises NoReplica if no replica is up by then,
        or the error of `refuse`.
        """
        if not self._waiters and (replica := self._free_replica()) is not None:
            replica.take()
            return replica
        if len(self._waiters) >= self._limits.queue:
            raise NoSlot(self._slots)
        waiter: asyncio.Future[GroupReplica] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        wake_seconds = 0 if self.replicas else self._limits.wake_seconds
        try:
            async with asyncio.timeout(self._limits.queue_seconds + wake_seconds):
                return await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.free(waiter.result())  # the slot was assigned at the moment of the cancellation
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            if not isinstance(error, TimeoutError):
                raise
        if not self.replicas:
            raise NoReplica("The app takes too long to start.")
        raise NoSlot(self._slots)

    @property
    def _slots(self) -> int:
        return self._limits.slots * max(1, len(self.replicas))

    def _free_replica(self) -> GroupReplica | None:
        replica = min(self.replicas, key=lambda each: each.busy, default=None)
        return replica if replica is not None and replica.busy < self._limits.slots else None

    def _grant(self) -> None:
        while self._waiters and (replica := self._free_replica()) is not None:
            waiter = self._waiters.popleft()
            if not waiter.done():
                replica.take()
                waiter.set_result(replica)
