"""Restarts the processes of one run when they end, and stops them in order."""

import asyncio
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.processes import Command, describe_exit, exited, last_lines, start_into, start_log_writer

CRASHES_AT_MOST = 5
CRASH_WINDOW_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 0.05  # doubled with each crash, so that the fifth crash takes some time
HURRY_SECONDS = 5.0
LAST_LINES_SECONDS = 1.0


@dataclass
class Child:
    """A process to keep alive: how to start and stop it, and its current run."""

    name: str
    command: Command
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM
    hurry_signal: signal.Signals = signal.SIGKILL
    drain_seconds: float = 20.0
    before_restart: Callable[[], None] = lambda: None
    process: subprocess.Popen[bytes] | None = None
    is_stopping: bool = False
    crashes: deque[float] = field(default_factory=deque)
    keeper: asyncio.Task[None] | None = None
    log_writer: asyncio.Task[None] | None = None

    @property
    def service(self) -> str:
        """Its name without the worker's number."""
        return self.name.partition("-")[0]

    def start(self) -> None:
        """Start the process and its log writer. Call from the main thread only."""
        source, output = os.pipe()
        try:
            self.process = start_into(self.command, output)
        except BaseException:
            os.close(source)
            raise
        finally:
            os.close(output)
        self.log_writer = asyncio.create_task(_write_log(source, self.log))

    async def ended(self) -> int:
        """Wait until the process has ended and its last lines are in the log. Returns its exit code."""
        assert self.process is not None  # noqa: S101 - start() set both
        assert self.log_writer is not None  # noqa: S101
        code = await exited(self.process)
        # This wait has a limit, because a process that left its session may keep the pipe open.
        await asyncio.wait({self.log_writer}, timeout=LAST_LINES_SECONDS)
        return code

    def send(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)


class Supervisor:
    """The children of one run. It ends when it is asked to stop, or one of them keeps crashing."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self.children: dict[str, Child] = {}
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hurried = asyncio.Event()

    def start(self, *children: Child) -> None:
        """Start the children. Restarts each that ends before `stop`."""
        for child in children:
            child.start()
            child.keeper = asyncio.create_task(self._keep(child))
            child.keeper.add_done_callback(self._fail)
            self.children[child.name] = child

    async def until_ended(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work, then wait for `ask_to_stop`. Raises errors of the work, or CannotRun for a child that keeps
        crashing."""
        task = asyncio.create_task(work)
        try:
            await asyncio.wait({task, self._ended}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            await self._ended
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def ask_to_stop(self) -> None:
        """End the run. If called again, stop without waiting for calls in progress."""
        if self._ended.done():
            self._hurried.set()
        else:
            self._ended.set_result(None)

    async def stop(self, order: Sequence[str]) -> None:
        """End the children, one service after the other. Each may finish its calls."""
        if not self._ended.done():
            self._ended.set_result(None)
        for service in order:
            await asyncio.gather(*(self._stop(child) for child in self.children.values() if child.service == service))

    async def _keep(self, child: Child) -> None:
        while True:
            code = await child.ended()
            if child.is_stopping:
                return
            self._count_crash(child, describe_exit(code))
            await asyncio.sleep(FIRST_PAUSE_SECONDS * 2 ** (len(child.crashes) - 1))
            if child.is_stopping:
                return
            child.before_restart()
            child.start()
            self._report(f"{child.name} {describe_exit(code)}; started again")

    def _count_crash(self, child: Child, how: str) -> None:
        now = time.monotonic()
        child.crashes.append(now)
        while now - child.crashes[0] > CRASH_WINDOW_SECONDS:
            child.crashes.popleft()
        if len(child.crashes) >= CRASHES_AT_MOST:
            raise CannotRun(
                f"{child.name} {how}, the {len(child.crashes)}th time in {CRASH_WINDOW_SECONDS:.0f} seconds. "
                f"The end of {child.log}:\n{last_lines(child.log)}"
            )

    def _fail(self, keeper: asyncio.Task[None]) -> None:
        if not keeper.cancelled() and (error := keeper.exception()) and not self._ended.done():
            self._ended.set_exception(error)

    async def _stop(self, child: Child) -> None:
        child.is_stopping = True
        hurry = asyncio.create_task(self._hurried.wait())
        keeper = child.keeper
        assert keeper is not None  # noqa: S101 - start() set it
        if not self._hurried.is_set():
            child.send(child.stop_signal)
            await asyncio.wait({keeper, hurry}, timeout=child.drain_seconds, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        for number in (child.hurry_signal, signal.SIGKILL):
            if not keeper.done():
                child.send(number)
                await asyncio.wait({keeper}, timeout=HURRY_SECONDS)


async def _write_log(source: int, log: Path) -> None:
    """Keep a log writer running until the pipe ends. If it is killed, a new one starts; the lines remain in the pipe
    meanwhile."""
    try:
        while True:
            with suppress(OSError):
                if await exited(start_log_writer(source, log)) == 0:
                    return
            await asyncio.sleep(FIRST_PAUSE_SECONDS)
    finally:
        os.close(source)
