"""The services behind PgBouncer, configured as docs/pgbouncer.md says."""

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.support.databases import migrate
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.replicas import Replicas, running_replicas
from tests.support.stack import People
from tests.support.steady_load import READY, SteadyLoad
from tests.support.tcp_postgres import TcpPostgres

PROGRAM = shutil.which("pgbouncer")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is missing: apt install pgbouncer"),
]
SCHEMAS = {"workflow": "workflow", "deploy": "deploy"}
POOL = 40
BACK_SECONDS = 3.0


class Bouncer:
    """PgBouncer before a Postgres. It can be killed and started again on its port."""

    def __init__(self, folder: Path, postgres: TcpPostgres) -> None:
        self.port = free_port()
        self._process: asyncio.subprocess.Process | None = None
        self._ini = folder / "pgbouncer.ini"
        users = folder / "userlist.txt"
        users.write_text("".join(f'"flowpin_{name}" "secret"\n' for name in SCHEMAS))
        recipe = re.search(r"```ini\n(.*?)```", (ROOT / "docs/pgbouncer.md").read_text(), re.DOTALL)[1]
        for documented, ours in {
            "port=5432": f"port={postgres.port}",
            "listen_port = 6432": f"listen_port = {self.port}",
            "/etc/pgbouncer/userlist.txt": str(users),
        }.items():
            assert documented in recipe
            recipe = recipe.replace(documented, ours)
        self._ini.write_text(recipe)
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "nobody") if os.geteuid() == 0 else None

    async def start(self) -> None:
        # It refuses to run as root.
        self._process = await asyncio.create_subprocess_exec(
            PROGRAM, "-q", str(self._ini), user="nobody" if os.geteuid() == 0 else None
        )
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    assert self._process.returncode is None
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def two_of_each(postgres: TcpPostgres, bouncer: Bouncer, folder: Path, people: People) -> AsyncIterator[Replicas]:
    urls = {"admin": postgres.url()}
    for role in (f"flowpin_{name}{suffix}" for name in SCHEMAS for suffix in ("", "_migrator")):
        urls[role] = f"postgresql://{role}:secret@127.0.0.1:{postgres.port}/flowpin"
    await migrate(urls)
    serving = {role: url.replace(f":{postgres.port}/", f":{bouncer.port}/") for role, url in urls.items()}
    async with running_replicas(2, serving, people, folder) as replicas:
        yield replicas


async def connections(postgres: TcpPostgres) -> Mapping[str, int]:
    """The number of connections to Postgres, by role."""
    db = await asyncpg.connect(postgres.url())
    try:
        rows = await db.fetch("SELECT usename, count(*) FROM pg_stat_activity WHERE usename LIKE 'flowpin%' GROUP BY 1")
    finally:
        await db.close()
    return {row["usename"]: row["count"] for row in rows}


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that another user can enter."""
    with tempfile.TemporaryDirectory(prefix="flowpin-test-") as folder:
        yield Path(folder)


async def test_services_work_behind_pgbouncer_in_session_mode_also_after_it_was_killed(
    tcp_postgres: TcpPostgres, public_folder: Path, tmp_path: Path
):
    people = People(tmp_path / "access.yaml")
    people.write()
    bouncer = Bouncer(public_folder, tcp_postgres)
    try:
        await bouncer.start()
        async with two_of_each(tcp_postgres, bouncer, tmp_path, people) as replicas:
            load = SteadyLoad(replicas.url, replicas.gateway.env["GATEWAY_WORKFLOW_TARGET"], people)
            async with load.working():
                await asyncio.sleep(3)
                used = await connections(tcp_postgres)
                killed_at = load.now
                await bouncer.kill()
                await asyncio.sleep(0.5)
                await bouncer.start()
                started_at = load.now
                await asyncio.sleep(BACK_SECONDS + 3)
    finally:
        await bouncer.kill()

    assert len(load.of(until=killed_at - 0.2)) > 100
    before = [call for call in load.of() if call.began + call.seconds < killed_at]
    assert [call for call in before if call.failed] == []
    assert set(used) == {"flowpin_workflow", "flowpin_deploy"}
    assert max(used.values()) <= POOL
    failed = {call.outcome for call in load.of() if call.failed}
    assert all(outcome.startswith(("503 ", "UNAVAILABLE ")) for outcome in failed), failed
    later = [*load.of(since=started_at + BACK_SECONDS), *load.of(READY, since=started_at + BACK_SECONDS)]
    assert len(later) > 100
    assert [call for call in later if call.failed] == []
