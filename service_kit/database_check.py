"""Whether the database answers and is as new as the code: one part of a service's health."""

import asyncio
from pathlib import Path

import asyncpg

from service_kit.db import FAILURES, Pool
from service_kit.migrations import newest

ANSWER_SECONDS = 2.0


class DatabaseCheck:
    """Says what keeps the database from serving this code; None when nothing does."""

    def __init__(self, pool: Pool, folder: Path) -> None:
        """`folder` holds the migrations that the code needs."""
        self._pool = pool
        self._needed = newest(folder)
        self._asking: asyncio.Task[str | None] | None = None

    async def __call__(self) -> str | None:
        # The question is left alone when its time is up: a server that hangs also keeps a canceled query waiting.
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        done, _ = await asyncio.wait({self._asking}, timeout=ANSWER_SECONDS)
        return self._asking.result() if done else f"the database has not answered for {ANSWER_SECONDS:g} seconds"

    async def _ask(self) -> str | None:
        try:
            async with self._pool.acquire() as connection:
                applied = await connection.fetchval("SELECT max(version) FROM schema_migrations")
        except asyncpg.UndefinedTableError:
            applied = None
        except FAILURES as error:
            return f"the database does not answer: {type(error).__name__}"
        if applied is None or applied < self._needed:
            return f"migration {self._needed} has not run; the schema is at {applied or 'nothing'}"
        return None
