"""Stops a process, and runs background tasks until then."""

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

log = structlog.get_logger()


class BackgroundTaskEnded(Exception):
    """A background task has ended before the process. The exception's cause is logged."""


async def until_stopped() -> None:
    """Return when the process is asked to stop. A second signal then has its usual effect."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        await stopped.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work`, which must not end by itself, until the block ends. Then cancel it and wait for its end.

    If it does end, the block is canceled and BackgroundTaskEnded is raised. In `serve`, this ends the process.
    """
    name = getattr(work, "__qualname__", repr(work))
    try:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(_for_ever(name, work))
            try:
                yield
            finally:
                task.cancel()
    except BaseExceptionGroup as group:
        # Usually there is one exception, from the block or from the task. Callers expect it without the group.
        raise group.exceptions[0] from group.exceptions[0].__cause__
    finally:
        work.close()  # if the block ended before the task began


async def _for_ever(name: str, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
        raise RuntimeError("it returned")
    except BaseException as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise  # canceled by us
        log.critical("background_task_ended", task=name, exc_info=error)
        raise BackgroundTaskEnded(f"the background task {name} ended") from error
