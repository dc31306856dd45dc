"""Runs the embedded Postgres of a data folder without the services, unless it already runs."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import DataFolder, found, holder, locked
from flowpin_cli.machine.health import until
from flowpin_cli.machine.processes import end_orphans, exited, last_lines, start
from flowpin_cli.postgres.cluster import SOCKET_PORT, START_SECONDS, data_version, open_cluster, socket_url
from flowpin_cli.postgres.passwords import SUPERUSER, kept_passwords
from flowpin_cli.postgres.socket_folder import is_ours
from flowpin_cli.postgres.urls import Databases, check_server, embedded_databases

if TYPE_CHECKING:
    from flowpin_cli.console import Announcer

STOP_SECONDS = 30.0


def embedded_url(folder: DataFolder, role: str = SUPERUSER) -> str | None:
    """The URL of the folder's own Postgres. None if it does not run.

    The server of another user is never used: the folder of the socket must be one that we created.
    """
    sockets = folder.secret("socket")
    if not sockets or not is_ours(Path(sockets), folder) or not (Path(sockets) / f".s.PGSQL.{SOCKET_PORT}").exists():
        return None
    return socket_url(Path(sockets), role, kept_passwords(folder).get(role))


@asynccontextmanager
async def postgres_alone(folder: DataFolder) -> AsyncIterator[Databases]:
    """Run the folder's Postgres without the services until the block ends. It is created if needed.

    The caller must have locked the folder. Raises CannotRun.
    """
    async with open_cluster(folder) as cluster:
        log = folder.fresh_log("postgres")
        process = start(cluster.command(), log)

        async def is_ready() -> bool:
            return process.poll() is not None or await cluster.is_ready(process)

        try:
            if not await until(is_ready, START_SECONDS) or process.poll() is not None:
                raise CannotRun(f"Postgres did not start. The end of {log}:\n{last_lines(log)}")
            yield embedded_databases(cluster)
        finally:
            await _stopped(process)


@asynccontextmanager
async def administrator_url(data: Path, database_url: str | None, announcer: "Announcer") -> AsyncIterator[str]:
    """The administrator URL of the given server, of the folder's running Postgres, or of one started for the block.

    Raises CannotRun.
    """
    if database_url is not None:
        await check_server(database_url)
        yield database_url
        return
    folder = found(data)
    if data_version(folder) is None:
        raise CannotRun(f"{data} has no Postgres; name yours with --database-url, or another --data")
    if holder(data) is None:
        with locked(data) as folder:
            end_orphans(folder)
            async with AsyncExitStack() as until_done:
                with announcer.step("Postgres, started for this"):
                    databases = await until_done.enter_async_context(postgres_alone(folder))
                yield databases.admin_url
    elif url := embedded_url(folder):
        yield url
    else:
        raise CannotRun(f"{data} is in use, but its Postgres does not run; name your own Postgres with --database-url")


async def _stopped(process: subprocess.Popen[bytes]) -> None:
    # First "fast", which ends sessions and writes to disk. Then "immediate", after which the next start recovers.
    for number in (signal.SIGINT, signal.SIGQUIT):
        if process.poll() is None:
            process.send_signal(number)
            with suppress(TimeoutError):
                await asyncio.wait_for(exited(process), STOP_SECONDS)
