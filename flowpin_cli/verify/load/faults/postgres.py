"""The Postgres of a run with faults. It is restarted when it ends, as by a supervisor."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import asyncpg

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import locked
from flowpin_cli.machine.health import until
from flowpin_cli.machine.processes import exited, last_lines, start
from flowpin_cli.postgres.cluster import SOCKET_PORT, START_SECONDS, Cluster, open_cluster

RESTART_SECONDS = 0.3
STOP_SECONDS = 5.0
SMALL = {"max_wal_size": "64MB", "min_wal_size": "32MB"}
"""Settings with which Postgres fits on a small file system."""


class Postgres:
    """A cluster and the process that serves it."""

    def __init__(self, cluster: Cluster, settings: Mapping[str, str]) -> None:
        self.cluster = cluster
        words = [word for name, value in {**SMALL, **settings}.items() for word in ("-c", f"{name}={value}")]
        command = cluster.command()
        self._command = replace(command, words=[*command.words, *words])
        self._log = cluster.folder.fresh_log("postgres")
        self._is_stopping = False
        self.process: subprocess.Popen[bytes] = start(self._command, self._log)

    @property
    def socket_path(self) -> Path:
        return self.cluster.socket_folder / f".s.PGSQL.{SOCKET_PORT}"

    async def ready(self) -> None:
        """Raises CannotRun."""
        if not await until(lambda: self.cluster.is_ready(self.process), START_SECONDS):
            raise CannotRun(f"Postgres did not start. The end of {self._log}:\n{last_lines(self._log)}")

    async def checkpoint(self) -> None:
        """Write all changes so far to disk. Otherwise, with `synchronous_commit=off`, a crash could lose the
        schemas."""
        db = await asyncpg.connect(self.cluster.url())
        await db.execute("CHECKPOINT")
        await db.close()

    def crash(self) -> None:
        """End all processes at once, in the middle of their work. Data that is only in memory is lost."""
        self.process.send_signal(signal.SIGQUIT)

    async def restart(self) -> None:
        """End sessions, write memory to disk, and start again."""
        process = self.process

        async def is_another() -> bool:
            return self.process is not process

        process.send_signal(signal.SIGINT)
        if not await until(is_another, STOP_SECONDS):
            # If Postgres 18.6 is stopped while it recovers from a crash, it may wait forever.
            process.send_signal(signal.SIGQUIT)

    async def keep(self) -> None:
        """Restart Postgres if it ends before `stop`."""
        while True:
            await exited(self.process)
            if self._is_stopping:
                return
            await asyncio.sleep(RESTART_SECONDS)
            self.cluster.forget_the_dead()
            self.process = start(self._command, self._log)

    def stop(self) -> None:
        self._is_stopping = True
        self.process.send_signal(signal.SIGQUIT)


@asynccontextmanager
async def running_postgres(folder: Path, settings: Mapping[str, str]) -> AsyncIterator[Postgres]:
    """Run a Postgres on its own data folder, which is created if needed."""
    with locked(folder) as data_folder:
        async with open_cluster(data_folder) as cluster:
            postgres = Postgres(cluster, settings)
            keeper = asyncio.create_task(postgres.keep())
            try:
                await postgres.ready()
                yield postgres
            finally:
                postgres.stop()
                with suppress(OSError):
                    await keeper
