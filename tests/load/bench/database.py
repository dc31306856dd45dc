"""Sends statements to Postgres as its superuser, to measure and control it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from tests.load.bench.result import Unmeasurable

SECONDS = 120.0


def execute(url: str, *statements: str) -> None:
    """Execute statements in order. Raises Unmeasurable when one fails."""

    async def run() -> None:
        async with _connection(url) as connection:
            for statement in statements:
                await connection.execute(statement)

    asyncio.run(run())


def value(url: str, query: str) -> Any:
    """The first column of the first row. Raises Unmeasurable when the query fails."""

    async def run() -> Any:
        async with _connection(url) as connection:
            return await connection.fetchval(query)

    return asyncio.run(run())


@asynccontextmanager
async def _connection(url: str) -> AsyncIterator[asyncpg.Connection]:
    try:
        connection = await asyncpg.connect(url, timeout=SECONDS, command_timeout=SECONDS)
        try:
            yield connection
        finally:
            await connection.close(timeout=SECONDS)
    except (OSError, asyncpg.PostgresError) as error:
        raise Unmeasurable(f"the database: {error!r}") from None
