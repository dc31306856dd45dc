"""Tasks that come and go while a process serves; one that fails ends it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

from service_kit.lifecycle import BackgroundTaskEnded

log = structlog.get_logger()


class Tasks:
    """Tasks that run until they are done, or the block of `open_tasks` ends."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = self._group.create_task(self._checked(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def cancel(self) -> None:
        for task in self._running:
            task.cancel()

    async def _checked(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            name = getattr(work, "__qualname__", repr(work))
            log.critical("background_task_ended", task=name, exc_info=error)
            raise BackgroundTaskEnded(f"the background task {name} ended") from error


@asynccontextmanager
async def open_tasks() -> AsyncIterator[Tasks]:
    """Run tasks until the block ends, then cancel them.

    When one fails, the block is canceled and BackgroundTaskEnded raised: in `serve`, that ends the process.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = Tasks(group)
            try:
                yield tasks
            finally:
                tasks.cancel()
    except BaseExceptionGroup as errors:
        # In most cases there is one: what the block raised, or the task. Callers expect it as it is.
        raise errors.exceptions[0] from errors.exceptions[0].__cause__
