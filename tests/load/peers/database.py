"""A database of the peer's own, on the Postgres server that ours are on."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg

from tests.load.bench.context import Bench, Drive
from tests.load.bench.result import Load, Unmeasurable

SECONDS = 30.0


@contextmanager
def database(bench: Bench, name: str) -> Iterator[str]:
    """An empty one until the block ends; its URL."""
    drop = f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
    asyncio.run(_execute(bench.stack.admin_url, drop, f"CREATE DATABASE {name}"))
    try:
        yield bench.stack.role_url("postgres", name)
    finally:
        asyncio.run(_execute(bench.stack.admin_url, drop))


def adding_rows(drive: Drive, url: str, table: str) -> Load:
    """Drive what creates, and count. Raises Unmeasurable when there are fewer new rows than answers."""
    before = asyncio.run(_count(url, table))
    load = drive()
    added = asyncio.run(_count(url, table)) - before
    if added < load.count:
        raise Unmeasurable(f"{load.count} creations were answered, {added} rows were added to {table}")
    return load


async def _execute(url: str, *statements: str) -> None:
    async with _connection(url) as connection:
        for statement in statements:
            await connection.execute(statement)


async def _count(url: str, table: str) -> int:
    async with _connection(url) as connection:
        return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))


@asynccontextmanager
async def _connection(url: str) -> AsyncIterator[asyncpg.Connection]:
    try:
        connection = await asyncpg.connect(url, timeout=SECONDS, command_timeout=SECONDS)
        try:
            yield connection
        finally:
            await connection.close(timeout=SECONDS)
    except (OSError, asyncpg.PostgresError) as error:
        raise Unmeasurable(f"the peer's database: {error!r}") from None
