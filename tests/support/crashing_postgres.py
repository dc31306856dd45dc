"""A separate Postgres of a test module, which can crash, stop and start again."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from flowpin_cli.machine.data_folder import locked
from flowpin_cli.machine.health import until
from flowpin_cli.machine.processes import start
from flowpin_cli.postgres.cluster import Cluster, open_cluster
from tests.support.fast_postgres import ask_for_no_password, url

ROLES = ("flowpin_workflow_migrator", "flowpin_workflow", "flowpin_deploy_migrator", "flowpin_deploy")


@dataclass
class CrashingPostgres:
    cluster: Cluster
    process: subprocess.Popen[bytes] | None = None

    @property
    def urls(self) -> Mapping[str, str]:
        return {"admin": url(self.cluster), **{role: url(self.cluster, role) for role in ROLES}}

    async def start(self) -> None:
        self.cluster.forget_the_dead()
        self.process = start(self.cluster.command(), self.cluster.folder.fresh_log("postgres"))
        assert await until(lambda: self.cluster.is_ready(self.process), 20), "Postgres did not start"

    async def crash(self) -> None:
        """Kill all its processes immediately."""
        await self.stop(signal.SIGQUIT)

    async def stop(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        await asyncio.to_thread(self.process.wait, 20)


@asynccontextmanager
async def crashing_postgres(folder: Path) -> AsyncIterator[CrashingPostgres]:
    """Run Postgres until the block ends."""
    with locked(folder) as data_folder:
        async with open_cluster(data_folder) as cluster:
            ask_for_no_password(cluster)
            server = CrashingPostgres(cluster)
            await server.start()
            try:
                yield server
            finally:
                await server.crash()
