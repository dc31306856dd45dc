"""Runs background tasks while a process serves. If one fails, the process ends."""

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

    If one fails, the block is canceled and BackgroundTaskEnded is raised. In `serve`, this ends the process.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = Tasks(group)
            try:
                yield tasks
            finally:
                tasks.cancel()
    except BaseExceptionGroup as errors:
        # Usually there is one exception, from the block or from a task. Callers expect it without the group.
        raise errors.exceptions[0] from errors.exceptions[0].__cause__
