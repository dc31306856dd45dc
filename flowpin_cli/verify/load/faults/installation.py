"""The installation of a run: a Postgres, and `flowpin up` on it as a child process, in a temporary folder."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import DataFolder
from flowpin_cli.machine.health import until
from flowpin_cli.machine.processes import Command, exited, last_lines, start
from flowpin_cli.postgres.cluster import DATABASE
from flowpin_cli.postgres.dump import split_password
from flowpin_cli.postgres.passwords import SUPERUSER
from flowpin_cli.rest.installation import DEFAULT_DATA
from flowpin_cli.runtimes.folder import FOLDER_VARIABLE, runtimes_of
from flowpin_cli.verify.load.faults.clock import Clock, clock
from flowpin_cli.verify.load.faults.disk import SmallDisk, small_disk
from flowpin_cli.verify.load.faults.postgres import Postgres, running_postgres
from flowpin_cli.verify.load.faults.proxy import Proxy, running_proxy
from flowpin_cli.verify.load.options import LoadOptions, Target, target_of

START_SECONDS = 90.0
STOP_SECONDS = 30.0
DEPLOY_WAIT_SECONDS = "5"
"""Settings for rollouts of running apps. Deploys are answered before the load's own deadline, so that more outcomes are
known.
"""
WORDS = {"run_service": "\0run_service\0serve\0", "host": "\0run_service\0host\0"}
"""Parts of command lines that distinguish processes of the same module."""


@dataclass(frozen=True)
class Installation:
    """The installation in which faults are caused. `proxy`, `disk` and `clock` are set if needed and possible."""

    target: Target
    postgres: Postgres
    up: subprocess.Popen[bytes]
    log: Path
    access_file: Path
    proxy: Proxy | None
    disk: SmallDisk | None
    clock: Clock | None

    @property
    def runs_apps(self) -> bool:
        return bool(self.target.apps_url)

    def service(self, name: str, chance: random.Random) -> int | None:
        """The process id of a random worker of a service. None if no worker runs.

        `replica` means any child of the host process: replicas and zygotes.
        """
        drawn = chance.random()
        if name == "replica":
            hosts = _children(self.up.pid, WORDS["host"])
            found = [pid for host in hosts for pid in _children(host, "")]
        else:
            found = _children(self.up.pid, WORDS.get(name, f"\0{name}\0"))
        return found[int(drawn * len(found))] if found else None

    def ended(self) -> str | None:
        """The last output of `up` after it has ended."""
        if self.up.poll() is None:
            return None
        return f"`flowpin up` ended under the load. It said:\n{last_lines(self.log)}"


def _children(parent: int, words: str) -> list[int]:
    """Children whose command line contains the words."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            pid = int(entry.name)
            is_child = parent == int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if is_child and words in (entry / "cmdline").read_text():
                found.append(pid)
    return sorted(found)


@asynccontextmanager
async def open_installation(options: LoadOptions) -> AsyncIterator[Installation]:
    """Start an installation. It is stopped and removed when the block ends. Raises CannotRun."""
    async with AsyncExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="flowpin-verify-", ignore_cleanup_errors=True))
        )
        disk = stack.enter_context(small_disk(folder / "disk")) if "full-disk" in options.faults else None
        home = (disk.path if disk else folder) / "postgres"
        postgres = await stack.enter_async_context(running_postgres(home, options.postgres_settings))
        proxy = None
        url, password = split_password(postgres.cluster.url())
        if "half-open" in options.faults:
            proxy = await stack.enter_async_context(running_proxy(postgres.socket_path))
            url = proxy.url(SUPERUSER, DATABASE)
        faked = clock(folder) if "clock" in options.faults else None
        environ = {**options.environ, **(faked.environment if faked else {})}
        environ |= {"PGPASSWORD": password or ""}  # every user can read a command line
        environ.setdefault("DEPLOY_WAIT_SECONDS", DEPLOY_WAIT_SECONDS)
        environ[FOLDER_VARIABLE] = str(runtimes_of(options.data or DEFAULT_DATA, options.environ).path)
        log = folder / "up.log"
        data = folder / "data"
        up = await stack.enter_async_context(_running_up(data, url, options.workers, environ, log))
        target = target_of(data, {})
        await postgres.checkpoint()
        yield Installation(target, postgres, up, log, DataFolder(data).access_file, proxy, disk, faked)


@asynccontextmanager
async def _running_up(
    data: Path, database_url: str, workers: int, environ: dict[str, str], log: Path
) -> AsyncIterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-P", "-m", "flowpin_cli", "up", "--data", str(data), "--port", "0"]
    words += ["--workers", str(workers), "--database-url", database_url]
    up = start(Command(words, environ, orphan_signal=signal.SIGTERM), log)
    try:

        async def has_begun() -> bool:
            return up.poll() is not None or "FLOWPIN_URL" in DataFolder(data).env()

        if not await until(has_begun, START_SECONDS) or up.poll() is not None:
            raise CannotRun(f"`flowpin up` did not start. The end of {log}:\n{last_lines(log)}")
        yield up
    finally:
        await _stop(up)


async def _stop(up: subprocess.Popen[bytes]) -> None:
    if up.poll() is not None:
        return
    up.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await exited(up)
    except TimeoutError:
        with suppress(ProcessLookupError):
            os.kill(up.pid, signal.SIGKILL)  # its children end with it
        await exited(up)
