"""`run_host`: the host process from its start to its end."""

import asyncio
import ctypes
import fcntl
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from run_service.hosting.host import Host
from run_service.hosting.ledger import Ledger
from run_service.hosting.server import Routers, serve
from run_service.hosting.settings import HostSettings
from run_service.worker import confinement
from service_kit.lifecycle import until_stopped

log = structlog.get_logger()

PR_SET_CHILD_SUBREAPER = 36
PASSED_THROUGH = 0o711
"""Mode of folders above replicas' folders. If the host runs as root, replicas run as other users."""


class HostRunning(Exception):
    """Another host process uses this folder."""


async def run_host(settings: HostSettings) -> None:
    """Start, keep and end replicas for routers, until SIGTERM or SIGINT; then end all of them.

    It needs its own process, because it reaps all children. It needs asyncio's own event loop, because uvloop keeps
    SIGCHLD to itself. Raises HostRunning.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    settings.folder.mkdir(parents=True, exist_ok=True)
    settings.folder.chmod(PASSED_THROUGH)
    with locked(settings.folder / "lock", settings.lock_seconds):
        ledger = Ledger(settings.folder / "processes.json")
        ledger.end_leftovers()
        replicas = settings.folder / "replicas"
        shutil.rmtree(replicas, ignore_errors=True)
        replicas.mkdir()
        replicas.chmod(PASSED_THROUGH)
        if (reason := confinement.missing()) is not None:
            log.error("replicas_not_confined", error=reason)
        await _run(settings, ledger)


async def _run(settings: HostSettings, ledger: Ledger) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        routers = Routers()
        host = Host(settings, ledger, tasks, routers.tell)
        loop.add_signal_handler(signal.SIGCHLD, host.reap)
        background = [tasks.create_task(host.look()), tasks.create_task(serve(settings.socket, host, routers))]
        if settings.preload is not None:
            background.append(tasks.create_task(host.preload(settings.preload)))
        try:
            await until_stopped()
        finally:
            for task in background:
                task.cancel()
            settings.socket.unlink(missing_ok=True)
            await host.end()
    loop.remove_signal_handler(signal.SIGCHLD)


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Lock the folder. Raises HostRunning if another host still has the lock after `seconds`."""
    with path.open("w") as file:
        end = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise HostRunning(f"Another host process uses {path.parent}.") from None
                time.sleep(0.05)
        yield
