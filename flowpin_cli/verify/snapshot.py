"""Reads a schema as of one moment, in pieces, with statements that have a time limit."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

from flowpin_cli.errors import CannotRun
from flowpin_cli.postgres import catalog
from flowpin_cli.postgres.schemas import Schema
from flowpin_cli.postgres.urls import url_without_password
from service_kit.db import only, read_json_as_bytes

if TYPE_CHECKING:
    RawConnection = asyncpg.Connection[asyncpg.Record]

Row: TypeAlias = asyncpg.Record

CONNECT_SECONDS = 10.0
STATEMENT_SECONDS = 900.0
"""Time limit of a statement, or of one piece of its result. With 100,000 versions the longest took 3.3 s."""
GRACE_SECONDS = 10.0
ANSWER_SECONDS = STATEMENT_SECONDS + GRACE_SECONDS
"""How long to wait for an answer. Postgres cancels the statement earlier."""
ROWS_AT_ONCE = 500
BYTES_AT_ONCE = 8 << 20
"""Maximum bytes of documents in memory, unless a single one is larger."""

SETTINGS = {
    "statement_timeout": f"{STATEMENT_SECONDS:.0f}s",
    "lock_timeout": "10s",
    # Off, because between two statements there may be minutes of work on another schema.
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",  # Postgres 17 and newer
    "cursor_tuple_fraction": "1",
    "work_mem": "64MB",
    "jit": "off",
}


@dataclass(frozen=True)
class Source:
    """The location of a service's schema. `schema` is the service's name, except in tests."""

    service: str
    url: str
    schema: str
    migrations: Path
    """The folder of the code's migrations."""
    is_optional: bool = False
    """Whether the schema may be missing."""


class Snapshot:
    """A schema in a read-only transaction with one snapshot."""

    def __init__(self, connection: "RawConnection", source: Source, moment: datetime) -> None:
        self.connection = connection
        self.service = source.service
        self.schema = source.schema
        self.moment = moment
        self._is_optional = source.is_optional
        self._code = Schema(source.schema, source.migrations)

    @property
    def guards(self) -> Mapping[str, Collection[str]]:
        """The names of the constraints and other guards of rows that the migrations create, by kind."""
        made = self._code.made
        return {kind: made[kind] for kind in ("CONSTRAINT", "INDEX", "TRIGGER", "DEFAULT")}

    async def check_migrations(self) -> bool:
        """False if an optional schema does not exist. Raises CannotRun if a required schema does not exist, or one is
        older than the code."""
        applied = await catalog.applied_migrations(self.connection, self.schema)
        if not applied and self._is_optional:
            return False
        if not applied:
            raise CannotRun(f"there is no schema {self.schema}; `flowpin up` makes it")
        if missing := self._code.missing(applied):
            raise CannotRun(
                f"the schema {self.schema} is older than the code: {missing[0]} has not run; `flowpin up` runs it"
            )
        return True

    async def rows(self, statement: str, *values: Any, at_once: int = ROWS_AT_ONCE) -> AsyncIterator[Row]:
        """The rows of a statement, with at most `at_once` in memory."""
        cursor = await self.connection.cursor(statement, *values)
        while found := await cursor.fetch(at_once):
            for row in found:
                yield row

    async def batches(self, statement: str, *values: Any, at_once: int = ROWS_AT_ONCE) -> AsyncIterator[list[Row]]:
        """The rows of a statement in lists."""
        cursor = await self.connection.cursor(statement, *values)
        while found := await cursor.fetch(at_once):
            yield found

    async def documents(self, sizes: str, contents: str) -> AsyncIterator[list[Row]]:
        """The rows of `contents` in lists of BYTES_AT_ONCE. `sizes` returns the bytes of each row, in order."""
        cursor = await self.connection.cursor(contents)
        count, total = 0, 0
        async for row in self.rows(sizes, at_once=5_000):
            if count and (total + row["bytes"] > BYTES_AT_ONCE or count == ROWS_AT_ONCE):
                yield await cursor.fetch(count)
                count, total = 0, 0
            count, total = count + 1, total + row["bytes"]
        if count:
            yield await cursor.fetch(count)

    async def fetch(self, statement: str, *values: Any) -> list[Row]:
        """All rows of a statement that returns few."""
        return await self.connection.fetch(statement, *values)

    async def value(self, statement: str, *values: Any) -> Any:
        return await self.connection.fetchval(statement, *values)


@asynccontextmanager
async def open_snapshot(source: Source) -> AsyncIterator[Snapshot | None]:
    """A snapshot of the schema until the block ends. None if an optional schema does not exist. Raises CannotRun."""
    shown = url_without_password(source.url)
    try:
        # Do not use named statements, because PgBouncer may be in between.
        connection = await asyncpg.connect(
            source.url, timeout=CONNECT_SECONDS, command_timeout=ANSWER_SECONDS, statement_cache_size=0
        )
    except ValueError:
        raise CannotRun(f"{shown} is not a database URL") from None
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CannotRun(f"the database {shown} cannot be used: {str(error) or type(error).__name__}") from None
    try:
        await read_json_as_bytes(connection)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            settings = SETTINGS | {"search_path": source.schema, "application_name": "flowpin verify"}
            await connection.execute(
                """
                SELECT set_config(name, value, true) FROM unnest($1::text[], $2::text[]) AS setting (name, value)
                WHERE name IN (SELECT name FROM pg_settings)
                """,
                list(settings),
                list(settings.values()),
            )
            moment = only(await connection.fetchrow("SELECT clock_timestamp() AS moment"))["moment"]
            snapshot = Snapshot(connection, source, moment)
            yield snapshot if await snapshot.check_migrations() else None
    finally:
        await _close(connection)


async def _close(connection: "RawConnection") -> None:
    try:
        await connection.close(timeout=GRACE_SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
