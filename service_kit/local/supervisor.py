"""Keeps the processes of one run alive, and ends them in order."""

import asyncio
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service_kit.local.errors import CannotRun
from service_kit.local.processes import Command, describe_exit, exited, last_lines, start

CRASHES_AT_MOST = 5
CRASH_WINDOW_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 0.05  # doubled with each crash, so that the fifth is not reached in a blink
HURRY_SECONDS = 5.0


@dataclass
class Child:
    """One process to keep alive: how it is started and stopped, and the run of it there is now."""

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

    def send(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)


class Supervisor:
    """The children of one run, until somebody asks for its end or one of them cannot be kept alive."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self.children: dict[str, Child] = {}
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hurried = asyncio.Event()

    def start(self, child: Child) -> None:
        """Start it now, and again whenever it ends before `stop`."""
        child.process = start(child.command, child.log)
        child.keeper = asyncio.create_task(self._keep(child))
        child.keeper.add_done_callback(self._fail)
        self.children[child.name] = child

    async def until_ended(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work, then wait for `ask_to_stop`. Raises what the work raised, and CannotRun for a hopeless child."""
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
        """End the run; asked again, without waiting for calls in flight."""
        if self._ended.done():
            self._hurried.set()
        else:
            self._ended.set_result(None)

    async def stop(self, order: Sequence[str]) -> None:
        """End the children one after the other, each allowed to finish what it does."""
        if not self._ended.done():
            self._ended.set_result(None)
        for name in order:
            if child := self.children.get(name):
                await self._stop(child)

    async def _keep(self, child: Child) -> None:
        while child.process is not None:
            code = await exited(child.process)
            if child.is_stopping:
                return
            self._count_crash(child, describe_exit(code))
            await asyncio.sleep(FIRST_PAUSE_SECONDS * 2 ** (len(child.crashes) - 1))
            if child.is_stopping:
                return
            child.before_restart()
            child.process = start(child.command, child.log)
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
