"""A Postgres like an administrator's: over TCP, with passwords."""

import signal
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from flowpin_cli.machine.data_folder import locked
from flowpin_cli.machine.health import until
from flowpin_cli.machine.processes import start
from flowpin_cli.postgres.cluster import open_cluster
from tests.support.ports import free_port
from tests.support.tcp_postgres import TcpPostgres


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
                process.send_signal(signal.SIGINT)  # fast shutdown: SIGTERM would wait for clients
                process.wait(20)
