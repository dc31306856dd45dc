"""Limits the number of running calls, and shares the places fairly between principals.

A call beyond the limit waits. Free places go to the waiting principals in turn. So a caller with ten calls a second
does not wait behind one with thousands. Kubernetes' API Priority and Fairness does the same. It limits the number of
queues by sharding; here, the access file limits it.

Only calls that have arrived can be ordered. So the queue can limit how many calls of a principal it accepts per turn of
the event loop. Otherwise, a busy process would accept calls faster than it handles them, and calls would wait where
their principal is unknown.
"""

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Hashable

from service_kit.errors import TooManyRequests

Waiter = asyncio.Future[None]
SHARED_SECONDS = 5.0
"""How long the limits of shared use apply after a call of another principal."""


class FairQueue:
    """Call `enter` before a call's work and `leave` after it."""

    def __init__(
        self,
        at_work: int,
        waiting: int = 0,
        max_wait_seconds: float = 10,
        calls_a_turn: int | None = None,
        *,
        calls_a_turn_shared: int | None = None,
        most_for_one: int = 0,
    ) -> None:
        """At most `at_work` calls run at a time, and at most `waiting` wait, each at most `max_wait_seconds`. A
        principal begins at most `calls_a_turn` calls per turn of the event loop, and at most `calls_a_turn_shared`
        while others call too.

        While only one principal calls, `most_for_one` of its calls run, because more calls make larger batches. Each
        principal may have an eighth of the places even when others have all, so long calls do not block everybody. So
        at most `at_work` more calls run.
        """
        self._max_at_work = at_work
        self._guaranteed = max(1, at_work // 8)
        self._max_waiting = waiting
        self._max_wait_seconds = max_wait_seconds
        self._calls_a_turn = calls_a_turn or at_work
        self._calls_a_turn_shared = calls_a_turn_shared or self._calls_a_turn
        self._most_for_one = most_for_one
        self._most_at_work = at_work + max(at_work, most_for_one)
        """The limit including the extra places that apply if one principal has all."""
        self._latest: Hashable = None
        self._is_shared_until = float("-inf")
        self._at_work: dict[Hashable, int] = {}
        self._queues: OrderedDict[Hashable, deque[Waiter]] = OrderedDict()
        self._began: Counter[Hashable] = Counter()
        """The calls of each principal that have begun in this turn of the loop."""
        self._is_turn_scheduled = False
        self._was_full_at = float("-inf")
        self.at_work = 0
        self.waiting = 0

    def has_room_for(self, calls: int) -> bool:
        """Whether this many more calls, of any principal, may run or wait."""
        has_room = self.at_work + self.waiting + calls <= self._max_at_work + self._max_waiting
        if not has_room:
            self._was_full_at = time.monotonic()
        return has_room

    def was_full_within(self, seconds: float) -> bool:
        """Whether the queue is full, or was full when a call arrived in the last seconds."""
        return not self.has_room_for(1) or time.monotonic() - self._was_full_at < seconds

    def is_full_for(self, principal: Hashable, coming: int = 0, own_coming: int = 0) -> bool:
        """Whether `enter` would refuse a call of the principal.

        `coming` calls are about to enter; `own_coming` of them are the principal's own.
        """
        if self.has_room_for(coming + 1) or self._has_guaranteed_place(principal, own_coming):
            return False
        longest = max(map(len, self._queues.values()), default=0)
        return len(self._queues.get(principal, ())) + 1 >= longest

    async def enter(self, principal: Hashable) -> None:
        """Return when the call may run. Raises TooManyRequests if too many of the principal's calls wait."""
        if principal != self._latest:
            self._latest, self._is_shared_until = principal, time.monotonic() + SHARED_SECONDS
        if principal not in self._queues and self._may_begin(principal):
            self._begin(principal)
            return
        free = max(0, self._max_at_work - self.at_work)
        if self.waiting >= self._max_waiting + free and not self._has_guaranteed_place(principal):
            self._make_room(principal)
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._queues.setdefault(principal, deque()).append(waiter)
        self.waiting += 1
        self._schedule_turn()
        try:
            async with asyncio.timeout(self._max_wait_seconds):
                await waiter
        except (asyncio.CancelledError, TimeoutError) as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.leave(principal)  # the place was assigned at the moment of the cancellation
            else:
                self._forget(principal, waiter)
            if isinstance(error, TimeoutError):
                raise TooManyRequests from None
            raise

    def leave(self, principal: Hashable) -> None:
        left = self._at_work[principal] - 1
        if left:
            self._at_work[principal] = left
        else:
            del self._at_work[principal]
        self.at_work -= 1
        if self._queues:
            self._schedule_turn()

    def _has_place_for(self, principal: Hashable) -> bool:
        return (
            self.at_work < self._max_at_work
            or (self._at_work.get(principal, 0) < self._guaranteed and self.at_work < self._most_at_work)
            or self._has_room_for_one()
        )

    def _has_room_for_one(self) -> bool:
        return self.at_work < self._most_for_one and not self._is_shared()

    def _is_shared(self) -> bool:
        return time.monotonic() < self._is_shared_until

    def _has_guaranteed_place(self, principal: Hashable, coming: int = 0) -> bool:
        calls = self._at_work.get(principal, 0) + len(self._queues.get(principal, ())) + coming
        return calls < self._guaranteed and self.at_work < self._most_at_work

    def _may_begin(self, principal: Hashable) -> bool:
        most = self._calls_a_turn_shared if self._is_shared() else self._calls_a_turn
        return self._began[principal] < most and self._has_place_for(principal)

    def _begin(self, principal: Hashable) -> None:
        self.at_work += 1
        self._at_work[principal] = self._at_work.get(principal, 0) + 1
        self._began[principal] += 1
        self._schedule_turn()

    def _schedule_turn(self) -> None:
        if not self._is_turn_scheduled:
            self._is_turn_scheduled = True
            asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        """Begin one call of each waiting principal, while there are free places."""
        self._is_turn_scheduled = False
        self._began.clear()
        for principal in list(self._queues):
            while principal in self._queues and self._may_begin(principal):
                waiter = self._pop(principal, newest=False)
                if not waiter.done():
                    self._begin(principal)
                    waiter.set_result(None)
                    if principal in self._queues:
                        self._queues.move_to_end(principal)

    def _make_room(self, principal: Hashable) -> None:
        """Refuse the newest call of the longest queue. If that queue is the principal's own, refuse its new call."""
        longest = max(self._queues, key=lambda each: len(self._queues[each]), default=principal)
        if len(self._queues.get(principal, ())) + 1 >= len(self._queues.get(longest, ())):
            raise TooManyRequests
        waiter = self._pop(longest, newest=True)
        if not waiter.done():
            waiter.set_exception(TooManyRequests())

    def _pop(self, principal: Hashable, *, newest: bool) -> Waiter:
        queue = self._queues[principal]
        waiter = queue.pop() if newest else queue.popleft()
        self.waiting -= 1
        if not queue:
            del self._queues[principal]
        return waiter

    def _forget(self, principal: Hashable, waiter: Waiter) -> None:
        queue = self._queues.get(principal)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            self.waiting -= 1
            if not queue:
                del self._queues[principal]
