"""Reads that wait at the same time share one query."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar
from uuid import UUID

from service_kit.db import Connection, Pool
from service_kit.errors import ServiceError

Key = TypeVar("Key")
Value = TypeVar("Value")
Projects: TypeAlias = Sequence[UUID]

GATHER_SECONDS = 0.001
"""How long a query waits for company while there is some: another under way, or the one before for several callers."""
AT_ONCE = 4
"""Queries under way, so that a slow one does not keep all others waiting."""
MOST = 200
"""Keys in one query."""


@dataclass(slots=True)
class _Waiting(Generic[Key, Value]):
    """Who waits for the next query, all with the same projects."""

    projects: Projects
    keys: list[Key] = field(default_factory=list)
    futures: list[asyncio.Future[Value]] = field(default_factory=list)


class Batches(Generic[Key, Value]):
    """Reads of one kind. Each sees what was committed before it came: its query begins afterwards.

    `read` returns a value for each of the keys, in their order, or the ServiceError to raise for it. A query is for
    callers who see the same projects, so that nobody's row is in anybody else's hand.
    """

    def __init__(
        self,
        pool: Pool,
        read: Callable[[Connection, Projects, Sequence[Key]], Awaitable[Sequence[Value | ServiceError]]],
    ) -> None:
        self._pool = pool
        self._read = read
        self._waiting: dict[int, _Waiting[Key, Value]] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        self._due: asyncio.Handle | None = None
        self._has_company = False

    async def get(self, projects: Projects, key: Key) -> Value:
        """Raises what `read` has for the key, or the failure of the database."""
        future: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        # By identity: a principal's projects are one tuple, however many there are.
        waiting = self._waiting.get(id(projects))
        if waiting is None:
            waiting = self._waiting[id(projects)] = _Waiting(projects)
        waiting.keys.append(key)
        waiting.futures.append(future)
        if len(waiting.keys) == MOST:
            self._begin(id(projects))
        elif self._due is None and len(self._under_way) < AT_ONCE:
            self._begin_soon()
        return await future

    def _begin_soon(self) -> None:
        """Once the calls that have arrived by now have come here, too."""
        loop = asyncio.get_running_loop()
        if self._under_way or self._has_company:
            self._due = loop.call_later(GATHER_SECONDS, self._begin_all)
        else:
            self._due = loop.call_soon(self._begin_all)

    def _begin_all(self) -> None:
        self._due = None
        self._has_company = len(self._waiting) > 1
        for projects in list(self._waiting):
            self._begin(projects)

    def _begin(self, projects: int) -> None:
        waiting = self._waiting.pop(projects)
        self._has_company |= len(waiting.keys) > 1
        # In no caller's context: what it logs is about all of them.
        task = asyncio.get_running_loop().create_task(self._query(waiting), context=contextvars.Context())
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if self._waiting and self._due is None:
            self._begin_soon()

    async def _query(self, waiting: _Waiting[Key, Value]) -> None:
        try:
            async with self._pool.acquire() as db:
                values = await self._read(db, waiting.projects, waiting.keys)
        except BaseException as error:
            for future in waiting.futures:
                if not future.done():  # its caller may be gone
                    future.set_exception(error)
            return
        for future, value in zip(waiting.futures, values, strict=True):
            if future.done():
                continue
            if isinstance(value, ServiceError):
                future.set_exception(value)
            else:
                future.set_result(value)
