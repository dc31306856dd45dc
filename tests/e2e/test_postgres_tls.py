"""A service connects to Postgres over TLS only if it can verify the certificate.

The embedded Postgres is built without TLS, so a proxy accepts PostgreSQL's SSLRequest and forwards plain text.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
import trustme

import workflow_service
from service_kit import migrations
from service_kit.migrations import MigrationError
from service_kit.pools import open_pools
from tests.support.tcp_postgres import TcpPostgres
from workflow_service.settings import Settings

pytestmark = pytest.mark.slow

SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
SCHEMA = "workflow"


@asynccontextmanager
async def tls_in_front_of(postgres: TcpPostgres, authority: trustme.CA) -> AsyncIterator[int]:
    """Yields the port. Connections without TLS are closed."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if await reader.readexactly(8) != SSL_REQUEST:
                return
            writer.write(b"S")
            await writer.start_tls(context)
            from_postgres, to_postgres = await asyncio.open_connection("127.0.0.1", postgres.port)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(copy(reader, to_postgres))
                tasks.create_task(copy(from_postgres, writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_migrations_and_pools_verify_the_certificate_of_postgres(tcp_postgres: TcpPostgres, tmp_path: Path):
    authority, ca, other = trustme.CA(), tmp_path / "ca.pem", tmp_path / "other.pem"
    authority.cert_pem.write_to_path(ca)
    trustme.CA().cert_pem.write_to_path(other)
    async with tls_in_front_of(tcp_postgres, authority) as port:

        def at(role: str, ca: Path = ca, host: str = "127.0.0.1") -> str:
            plain = tcp_postgres.url("postgres").replace("//postgres:", f"//{role}:")
            there = plain.replace(f"127.0.0.1:{tcp_postgres.port}", f"{host}:{port}")
            return f"{there}?sslmode=verify-full&sslrootcert={ca}"

        migrator, serving = "flowpin_workflow_migrator", "flowpin_workflow"
        await migrations.provision(at("postgres"), SCHEMA, at(migrator), at(serving))
        await migrations.migrate(at(migrator), SCHEMA, workflow_service.MIGRATIONS)
        settings = Settings(database_url=at(serving), access_file=tmp_path / "access.yaml")

        async with open_pools(settings, SCHEMA) as pools, pools.hot.acquire() as connection:
            assert await connection.fetchval("SELECT count(*) FROM workflows") == 0

        with pytest.raises(ssl.SSLError, match="certificate verify failed"):
            await asyncpg.connect(at(serving, other))
        with pytest.raises(ssl.SSLError, match="localhost"):
            await asyncpg.connect(at(serving, host="localhost"))
        with pytest.raises(MigrationError, match="certificate"):
            await migrations.migrate(at(migrator, other), SCHEMA, workflow_service.MIGRATIONS)
        with pytest.raises((asyncpg.PostgresError, OSError)):
            await asyncpg.connect(at(serving).replace("verify-full", "disable"))
