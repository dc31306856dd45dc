"""A Postgres of one test module's own, which crashes and comes back when it is told to."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from service_kit.local.data_folder import locked
from service_kit.local.health import until
from service_kit.local.postgres import Cluster, open_cluster
from service_kit.local.processes import start

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class CrashingPostgres:
    """Runs in a process of its own, because gRPC is in this one and what is forked from it may not live."""

    process: asyncio.subprocess.Process
    superuser_url: str

    def url(self, role: str) -> str:
        return self.superuser_url.replace("//postgres@", f"//{role}@")

    async def crash(self) -> None:
        """All of it ends at once, in the middle of whatever it does."""
        await self._tell(b"crash\n")

    async def start(self) -> None:
        await self._tell(b"start\n")

    async def _tell(self, word: bytes) -> None:
        self.process.stdin.write(word)
        assert await asyncio.wait_for(self.process.stdout.readline(), 20) == b"done\n"


@asynccontextmanager
async def crashing_postgres(folder: Path) -> AsyncIterator[CrashingPostgres]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.crashing_postgres", folder, cwd=ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        url = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()
        yield CrashingPostgres(process, url)
    finally:
        process.stdin.close()
        await process.wait()


async def obey(folder: Path) -> None:
    """Print the URL, then do what each line says until there are no more: also when the tests were killed."""
    with locked(folder) as data:
        async with open_cluster(data) as cluster:
            server = await started(cluster)
            print(cluster.url(), flush=True)  # noqa: T201
            while word := await asyncio.to_thread(sys.stdin.readline):
                if word == "crash\n":
                    crash(server)
                else:
                    cluster.forget_the_dead()
                    server = await started(cluster)
                print("done", flush=True)  # noqa: T201
            crash(server)


async def started(cluster: Cluster) -> subprocess.Popen[bytes]:
    server = start(cluster.command(), cluster.folder.fresh_log("postgres"))
    assert await until(lambda: cluster.is_ready(server), 20), "Postgres did not start"
    return server


def crash(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGQUIT)
    server.wait(20)


if __name__ == "__main__":
    asyncio.run(obey(Path(sys.argv[1])))
