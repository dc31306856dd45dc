"""Coalesces calls that wait at the same time into one statement.

Gain: at 32 callers some eight calls share a statement, which takes a third of the CPU off a read (asyncpg 0.32,
Postgres 18). To remove it, call `work` with one key on a connection of the pool.
"""

import asyncio
import contextvars
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from service_kit.db import Connection, Pool
from service_kit.errors import ServiceError

PAUSE_SECONDS = 0.001
PAUSES = 3
"""Seconds of a pause between two statements while calls wait, and the maximum number of pauses while calls arrive fast.
With 32 callers, some eight calls then share a statement instead of one or two. That saves a third of a read's CPU. With
one or two callers, it makes no difference."""
LATE_READ_SECONDS, LATE_CHANGE_SECONDS = 0.1, 0.5
"""Seconds after which other calls no longer wait for a late statement. A statement usually takes a few milliseconds. A
change that starts while another is late finds locked rows, so its calls are made one by one. Under overload, when 64
changes may take 0.1 s, that costs more than waiting."""
TURNS = 4
"""Turns of the event loop before a statement counts as late, because its answer may have arrived while the loop was
busy."""

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(slots=True, eq=False)
class _Call(Generic[Key, Value]):
    key: Key
    answer: asyncio.Future[Value]
    statements: int = 0
    """Number of statements in progress for this call."""
    is_repeated: bool = False

    def settle(self, value: Value | ServiceError) -> None:
        if self.answer.done():  # the other statement has answered it, or its caller has left
            return
        if isinstance(value, ServiceError):
            self.answer.set_exception(value)
        else:
            self.answer.set_result(value)

    def fail(self, error: Exception) -> None:
        """Fail the call, unless another statement that is in progress may answer it."""
        if not self.statements and not self.answer.done():
            self.answer.set_exception(error)


class Coalescer(Generic[Key, Value]):
    """Groups calls of one kind into shared statements.

    Calls that arrive while a statement is in progress wait, and the next statement is for all of them. If that
    statement is late, they do not wait for it: the next one begins on another connection. One kind uses at most half of
    the pool's connections, so that other kinds have some if all its statements wait for one lock.

    Each call sees what was committed before it arrived. `work` returns a value for each key, in order, or the
    ServiceError to raise for it.
    """

    def __init__(
        self,
        pool: Pool,
        work: Callable[[Connection, Sequence[Key]], Awaitable[Sequence[Value | ServiceError]]],
        *,
        most: int = 200,
        only_reads: bool = False,
    ) -> None:
        """A statement is for at most `most` calls. With `only_reads`, the calls of a late statement are repeated in
        another."""
        self._pool = pool
        self._work = work
        self._most = most
        self._only_reads = only_reads
        self._waiting: list[_Call[Key, Value]] = []
        self._runs: set[asyncio.Task[None]] = set()
        self._next: asyncio.Task[None] | None = None
        """The run whose next statement is for the waiting calls."""
        self._waits_since = math.inf
        """When that run began to wait for a connection, or for the answer to its statement."""
        self._waits_for: Sequence[_Call[Key, Value]] = ()
        """The calls of that statement."""
        self._is_watched = False

    async def get(self, key: Key) -> Value:
        """The value for the key. Raises the error that `work` returns for it, or the failure of the database."""
        call: _Call[Key, Value] = _Call(key, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        self._begin_run()
        try:
            return await call.answer
        finally:
            del call  # avoids a cycle: the error's traceback refers to the call

    def _begin_run(self) -> None:
        if self._waiting and self._next is None and len(self._runs) < max(1, self._pool.size // 2):
            # It runs in an empty context, because its log lines are about all callers. It starts after other calls of
            # this turn have joined.
            self._next = asyncio.create_task(self._run(), context=contextvars.Context())
            self._runs.add(self._next)
            self._next.add_done_callback(self._end_run)

    def _end_run(self, run: asyncio.Task[None]) -> None:
        self._runs.discard(run)
        if self._next is run:
            self._next, self._waits_since = None, math.inf
        self._begin_run()

    async def _run(self) -> None:
        run = self._next
        while self._waiting and self._is_next(run):
            self._begin_wait(())
            try:
                async with self._pool.acquire() as db:
                    while self._is_next(run) and (calls := self._take()):
                        self._begin_wait(calls)
                        if not await self._answer(db, calls):
                            break
                        if self._waiting and self._is_next(run):
                            self._waits_since = math.inf
                            await self._pause()
            except Exception as error:  # no connection was available
                if self._is_next(run):
                    calls, self._waiting = self._waiting, []
                    for call in calls:
                        call.fail(error)

    def _is_next(self, run: asyncio.Task[None] | None) -> bool:
        """Whether `run` serves the waiting calls. It does not if it was late and another run has begun."""
        if self._next is None:
            self._next = run
        return self._next is run

    def _begin_wait(self, calls: Sequence[_Call[Key, Value]]) -> None:
        self._waits_since, self._waits_for = asyncio.get_running_loop().time(), calls
        if not self._is_watched:
            self._watch()

    def _watch(self) -> None:
        """Check from time to time whether the next run is late. A timer for each statement would cost more (uvloop: 3
        µs)."""
        loop = asyncio.get_running_loop()
        late_seconds = LATE_READ_SECONDS if self._only_reads else LATE_CHANGE_SECONDS
        if self._waits_since + late_seconds <= loop.time():
            loop.call_soon(self._look_again, self._waits_since, TURNS)
        self._is_watched = self._waits_since < math.inf
        if self._is_watched:
            loop.call_later(late_seconds / 2, self._watch)

    def _look_again(self, waits_since: float, turns: int) -> None:
        if self._waits_since != waits_since:
            return
        if turns:
            asyncio.get_running_loop().call_soon(self._look_again, waits_since, turns - 1)
        else:
            self._be_late()

    def _be_late(self) -> None:
        late, self._waits_for = self._waits_for, ()
        self._next, self._waits_since = None, math.inf
        if self._only_reads:
            again = [call for call in late if not call.is_repeated and not call.answer.done()]
            for call in again:
                call.is_repeated = True
            self._waiting[:0] = again
        self._begin_run()

    async def _answer(self, db: Connection, calls: Sequence[_Call[Key, Value]]) -> bool:
        """Run a statement for these calls. Returns whether the connection can be used for the next one."""
        for call in calls:
            call.statements += 1
        try:
            values = await self._work(db, [call.key for call in calls])
            for call, value in zip(calls, values, strict=True):
                call.settle(value)
        except Exception as error:
            for call in calls:
                call.statements -= 1
                call.fail(error)
            del call, calls  # the error's traceback would keep them in memory
            return False
        for call in calls:
            call.statements -= 1
        return True

    async def _pause(self) -> None:
        for _ in range(PAUSES):
            before = len(self._waiting)
            await asyncio.sleep(PAUSE_SECONDS)
            if len(self._waiting) < max(3, before + 2):
                break

    def _take(self) -> list[_Call[Key, Value]]:
        calls, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        return [call for call in calls if not call.answer.done()]  # its caller may have left
