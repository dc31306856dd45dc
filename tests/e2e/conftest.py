"""A Postgres as others run it: over TCP, with passwords."""

import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import asyncpg
import pytest

from service_kit.local.data_folder import locked
from service_kit.local.health import until
from service_kit.local.postgres import open_cluster
from service_kit.local.processes import start
from tests.e2e.up_process import free_port


@dataclass(frozen=True)
class TcpPostgres:
    port: int
    password: str = "an administrator's"

    def url(self, database: str = "flowpin") -> str:
        return f"postgresql://postgres:an%20administrator%27s@127.0.0.1:{self.port}/{database}"


@pytest.fixture
async def tcp_postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TcpPostgres]:
    postgres = TcpPostgres(free_port())
    with locked(tmp_path_factory.mktemp("tcp-postgres")) as folder:
        async with open_cluster(folder) as cluster:
            with (folder.postgres / "pg_hba.conf").open("a") as hba:
                hba.write("host all all 127.0.0.1/32 scram-sha-256\n")
            command = cluster.command()
            words = [*command.words, "-c", "listen_addresses=127.0.0.1", "-c", f"port={postgres.port}"]
            process = start(replace(command, words=words), folder.fresh_log("postgres"))
            try:
                assert await until(lambda: cluster.is_ready(process), 20), "Postgres did not start"
                connection = await asyncpg.connect(cluster.url(), port=postgres.port)
                await connection.execute("ALTER ROLE postgres PASSWORD 'an administrator''s'")
                await connection.close()
                yield postgres
            finally:
                process.send_signal(signal.SIGINT)  # fast: SIGTERM would wait for clients
                process.wait(20)
