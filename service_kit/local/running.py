"""What runs on a data folder now, looked at from outside and left as it is."""

import asyncio
import fcntl
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from service_kit.local.data_folder import DataFolder, Ports
from service_kit.local.databases import Databases, embedded_databases
from service_kit.local.errors import CannotRun
from service_kit.local.health import until
from service_kit.local.postgres import DATABASE, SOCKET_PORT, START_SECONDS, SUPERUSER, open_cluster
from service_kit.local.processes import exited, last_lines, start

STOP_SECONDS = 30.0
UNFINISHED_RESTORE = "restore.unfinished"
"""A data folder within the data folder, to which a restore brings a backup before it is all there."""


def holder(path: Path) -> str | None:
    """The process id of what holds the folder, None when nothing does. CannotRun when that cannot be seen."""
    try:
        lock = os.open(path / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CannotRun(f"{path} cannot be looked into: {error.strerror}; do it as the user of `flowpin up`") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(lock, 20, 0).decode().strip() or "unknown"
    finally:
        os.close(lock)
    return None


def last_ports(folder: DataFolder) -> Ports | None:
    """Where the processes listen, or did in the last run."""
    try:
        return Ports(**json.loads((folder.path / "ports.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def embedded_url(folder: DataFolder, role: str = SUPERUSER) -> str | None:
    """Where the folder's own Postgres answers, None when it does not run."""
    sockets = folder.secret("socket")
    if not sockets or not (Path(sockets) / f".s.PGSQL.{SOCKET_PORT}").exists():
        return None
    return f"postgresql://{role}@/{DATABASE}?host={sockets}&port={SOCKET_PORT}"


@asynccontextmanager
async def postgres_alone(folder: DataFolder) -> AsyncIterator[Databases]:
    """The folder's Postgres without the services, made if there is none, for the length of the block.

    The caller holds the folder. Raises CannotRun.
    """
    async with open_cluster(folder) as cluster:
        log = folder.fresh_log("postgres")
        process = start(cluster.command(), log)

        async def is_ready() -> bool:
            return process.poll() is not None or await cluster.is_ready(process)

        try:
            if not await until(is_ready, START_SECONDS) or process.poll() is not None:
                raise CannotRun(f"Postgres did not get ready. The end of {log}:\n{last_lines(log)}")
            yield embedded_databases(cluster)
        finally:
            await _stopped(process)


async def _stopped(process: subprocess.Popen[bytes]) -> None:
    # "Fast", which ends sessions and writes what is in memory; then not, which leaves that to the next start.
    for number in (signal.SIGINT, signal.SIGQUIT):
        if process.poll() is None:
            process.send_signal(number)
            with suppress(TimeoutError):
                await asyncio.wait_for(exited(process), STOP_SECONDS)
