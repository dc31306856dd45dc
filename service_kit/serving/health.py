"""Checks the health of a service: its database, writes to it, and its access file."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import asyncpg
import structlog
from grpc_health.v1 import health_pb2

from service_kit.access.registry import AccessRegistry
from service_kit.database_errors import describe
from service_kit.db import FAILURES, Connection, Pool, open_pool
from service_kit.migrations import newest
from service_kit.serving.health_servicer import HealthServicer
from service_kit.settings import DatabaseLimits

CHECK_SECONDS = 0.5
LIVE = "live"
"""The name under which health reports that the process runs, even if it cannot serve."""
WRITES = "writes"
"""The part that says whether Postgres accepts changes, that is, is neither read-only nor out of disk space."""
NOT_OF_THE_WHOLE = ("access", WRITES, "routes", "host", "offline_copy")
"""Parts that may fail while the service is ready. The last good access file is used, reads continue, and apps are
called with the last routes."""
Check: TypeAlias = Callable[[], Awaitable[str | None]]
"""Returns the problem of a part of the service as a sentence. None if it works."""
IS_READ_ONLY = """
    SELECT current_setting('transaction_read_only')::boolean, set_config('work_mem', '64kB', false)
"""
"""A standby is read-only too. The smallest work_mem makes SPILL write everything to disk."""
SPILL = """
    WITH spilled AS MATERIALIZED (
        SELECT repeat('x', 8192) AS page FROM generate_series(1, 32)
    )
    SELECT sum(length(page)) FROM spilled
"""
"""Writes 256 KB to a temporary file, on the same disk as the tables. It needs no privilege, and leaves no log entry and
no row."""
LIMITS = DatabaseLimits(acquire=1, connect=0.6, statement=0.5, grace=0.1)
"""A database that hangs is noticed within 1.2 s, plus the watcher's pause of 0.5 s."""

log = structlog.get_logger()


@asynccontextmanager
async def open_check(url: str, schema: str, folder: Path) -> AsyncIterator["DatabaseCheck"]:
    """Open the check, with its own connection, because a pool whose connections are all in use cannot show the
    database's state.

    `folder` contains the migrations that the code needs.
    """
    async with open_pool(url, schema, 1, LIMITS, "health") as pool:
        yield DatabaseCheck(pool, newest(folder))


class DatabaseCheck:
    """Checks whether the database can serve this code."""

    def __init__(self, pool: Pool, needed: str) -> None:
        """`needed` is the version of the newest migration."""
        self._pool = pool
        self._needed = needed
        self._writes: str | None = None

    async def __call__(self) -> str | None:
        """The problem if the database does not answer or lacks migrations of this code. Also checks writes, on the same
        connection."""
        try:
            try:
                problem, self._writes = await self._asked()
            except FAILURES:
                # Perhaps only the connection was dead. It is closed now, so this uses a new one.
                problem, self._writes = await self._asked()
        except FAILURES as error:
            problem = self._writes = f"the database does not answer: {describe(error)}"
        return problem

    async def writes(self) -> str | None:
        """The problem with changes of the database at the last check, if any."""
        return self._writes

    async def _asked(self) -> tuple[str | None, str | None]:
        async with self._pool.acquire() as connection:
            return await self._schema_problem(connection), await _writes_problem(connection)

    async def _schema_problem(self, connection: Connection) -> str | None:
        try:
            applied: str | None = await connection.fetchval("SELECT max(version) FROM schema_migrations")
        except asyncpg.UndefinedTableError:
            applied = None
        if applied is None or applied < self._needed:
            return f"migration {self._needed} has not run; the schema is at {applied or 'nothing'}"
        return None


async def _writes_problem(connection: Connection) -> str | None:
    if await connection.fetchval(IS_READ_ONLY):
        connection.terminate()  # if the URL names several servers, the next connection may go to another
        return "the database is read-only"
    try:
        await connection.fetchval(SPILL)
    except asyncpg.DiskFullError:
        return "the disk of the database is full"
    except asyncpg.QueryCanceledError:
        return "the database takes too long to write"
    except asyncpg.ConfigurationLimitExceededError:
        pass  # temp_file_limit
    return None


def usual_checks(database: DatabaseCheck, registry: AccessRegistry) -> dict[str, Check]:
    """The parts of every service's health: `database`, `access` and `writes`."""

    async def access() -> str | None:
        return registry.error

    return {"database": database, "access": access, WRITES: database.writes}


async def watch(servicer: HealthServicer, checks: Mapping[str, Check]) -> None:
    """Update health and log its changes, until canceled."""
    problems: dict[str, str | None] = {}
    while True:
        for name, check in checks.items():
            problem = await check()
            if name not in problems or problem != problems[name]:
                log.warning("health_lost", part=name, error=problem) if problem else log.info(
                    "health_restored", part=name
                )
            problems[name] = problem
            await servicer.set(name, status(problem is None))
        parts = (problem for name, problem in problems.items() if name not in NOT_OF_THE_WHOLE)
        await servicer.set("", status(not any(parts)))
        await asyncio.sleep(CHECK_SECONDS)


def status(serving: bool) -> "health_pb2.HealthCheckResponse.ServingStatus.ValueType":
    return health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
