"""Does work that several callers request at the same time only once. It continues when they leave."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SharedWork(Generic[T]):
    """Runs one piece of work per key at a time. All callers that wait for it get its result or error."""

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[T]] = {}

    async def run(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of `work`, or of work with this key that is in progress. `work` must have its own time limit."""
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(work())
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    def _ended(self, key: Hashable, task: "asyncio.Task[T]") -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # all callers may have left
