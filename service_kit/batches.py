"""Calls that wait at the same time share one statement."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeAlias, TypeVar
from uuid import UUID

from service_kit.db import Connection, Pool
from service_kit.errors import ServiceError

PAUSE_SECONDS = 0.001
PAUSES = 3
"""Between two statements while calls wait: one pause, and another while they come fast. At 32 callers some eight share
a statement then, not one or two, which takes a third of the CPU off a read; one caller alone, or two, do not notice."""

Key = TypeVar("Key")
Value = TypeVar("Value")
Projects: TypeAlias = Sequence[UUID]


class Batches(Generic[Key, Value]):
    """Calls of one kind. While a statement is under way, those that come wait, and the next one is for all of them.

    Each sees what was committed before it came. `work` returns a value for each of the keys, in their order, or the
    ServiceError to raise for it.
    """

    def __init__(
        self,
        pool: Pool,
        work: Callable[[Connection, Sequence[Key]], Awaitable[Sequence[Value | ServiceError]]],
        *,
        most: int = 200,
    ) -> None:
        """A statement is for at most `most` calls."""
        self._pool = pool
        self._work = work
        self._most = most
        self._waiting: list[tuple[Key, asyncio.Future[Value]]] = []
        self._under_way: asyncio.Task[None] | None = None

    async def get(self, key: Key) -> Value:
        """Raises what `work` has for the key, or the failure of the database."""
        future: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, future))
        if self._under_way is None:
            # In no caller's context: what it logs is about all of them. It begins once the calls that have arrived by
            # now have come here, too.
            self._under_way = asyncio.create_task(self._run(), context=contextvars.Context())
        return await future

    async def _run(self) -> None:
        while self._waiting:
            try:
                async with self._pool.acquire() as db:
                    await self._work_off(db)
            except Exception as error:  # there was no connection
                for _, future in self._take(len(self._waiting)):
                    future.set_exception(error)
        self._under_way = None

    async def _work_off(self, db: Connection) -> None:
        """Answer those who wait, on one connection: until nobody does, or a statement fails."""
        while calls := self._take(self._most):
            try:
                values = await self._work(db, [key for key, _ in calls])
            except Exception as error:
                for _, future in calls:
                    if not future.done():
                        future.set_exception(error)
                return
            for (_, future), value in zip(calls, values, strict=True):
                if future.done():
                    continue
                if isinstance(value, ServiceError):
                    future.set_exception(value)
                else:
                    future.set_result(value)
            if self._waiting:
                await self._pause()

    async def _pause(self) -> None:
        for _ in range(PAUSES):
            before = len(self._waiting)
            await asyncio.sleep(PAUSE_SECONDS)
            if len(self._waiting) < max(3, before + 2):
                break

    def _take(self, most: int) -> list[tuple[Key, asyncio.Future[Value]]]:
        calls, self._waiting = self._waiting[:most], self._waiting[most:]
        return [(key, future) for key, future in calls if not future.done()]  # its caller may be gone


def by_caller(projects: Iterable[Projects]) -> tuple[list[str], list[int]]:
    """What each of a batch's callers may see, for a statement to hold each key against its own caller's.

    The distinct sets of projects, to be cast to uuid[], and for each key the place of its set, from 1.
    """
    places: dict[int, int] = {}
    sets: list[str] = []
    whose = []
    for seen in projects:
        # By identity: a principal's projects are one tuple, however many there are.
        place = places.get(id(seen))
        if place is None:
            sets.append("{" + ",".join(map(str, seen)) + "}")
            place = places[id(seen)] = len(sets)
        whose.append(place)
    return sets, whose


def columns(rows: Iterable[tuple[object, ...]]) -> list[list[object]]:
    """Rows, at least one, as the arrays that unnest takes."""
    return [list(column) for column in zip(*rows, strict=True)]
