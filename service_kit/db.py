"""Connections to Postgres: the pool that a service serves from, and what its failures mean to a caller."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from service_kit import metrics
from service_kit.errors import Aborted, DatabaseUnavailable, DeadlineExceeded, InvalidArgument, ServiceError

if TYPE_CHECKING:  # asyncpg's classes take parameters in its type stubs only
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool
Row = asyncpg.Record


@asynccontextmanager
async def open_pool(url: str, schema: str, size: int) -> AsyncIterator[Pool]:
    """A pool of at most `size` connections that see `schema`. It opens without a database and finds one later."""
    pool = asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        max_inactive_connection_lifetime=300,
        init=read_json_as_bytes,
        reset=_reset,
        timeout=2,
        server_settings={
            "search_path": schema,
            "application_name": f"flowpin {schema}",
            "idle_in_transaction_session_timeout": "15s",
            "statement_timeout": "30s",
            # Every statement here goes by an index, whatever its parameters. Postgres would plan those with arrays anew
            # on each call, which costs three times what running them does.
            "plan_cache_mode": "force_generic_plan",
            # Such a plan is kept, so it must not be one that suits a table only while it is small.
            "enable_seqscan": "off",
            "enable_hashjoin": "off",
            "enable_mergejoin": "off",
        },
    )
    async with pool:
        with metrics.watching_pool(schema, size, pool.get_size, pool.get_idle_size):
            yield pool


async def read_json_as_bytes(connection: Connection) -> None:
    # The exact bytes, in and out: no text round trip, no parsing.
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=lambda value: value, decoder=lambda value: value, format="binary"
    )


async def _reset(connection: Connection) -> None:
    # asyncpg's own reset is a round trip on every release. Nothing here sets session state, so only what an
    # interrupted call left open is cleaned up.
    if connection.is_in_transaction():
        await connection.reset()


def only(row: Row | None) -> Row:
    """The row of a statement that always returns one."""
    if row is None:
        raise LookupError("the statement returned no row")
    return row


REFUSED = (
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    ConnectionRefusedError,
    FileNotFoundError,  # the socket is gone
)
"""What says that there was no connection, so that nothing can have been changed."""

AWAY = (
    *REFUSED,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, crashed
    asyncpg.InsufficientResourcesError,  # the disk is full
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)
"""What says that the database cannot be used now, whatever is asked of it."""

FAILURES = (asyncpg.PostgresError, *AWAY)
"""All that a use of the database can raise."""


def describe(error: Exception) -> str:
    """One of FAILURES for the log: which it is, and never its message, which can quote what a caller sent."""
    if isinstance(error, OSError):
        return repr(error)
    words = (type(error).__name__, getattr(error, "sqlstate", None), getattr(error, "constraint_name", None))
    return " ".join(word for word in words if word)


def service_error(error: Exception) -> ServiceError:
    """What one of FAILURES means to the caller."""
    match error:
        case asyncpg.QueryCanceledError():
            return DeadlineExceeded("The database took too long and was given up. Nothing was changed.")
        case asyncpg.DeadlockDetectedError() | asyncpg.SerializationError():
            return Aborted("Another change came in between. Nothing was changed; try again.", retry_after=1)
        case asyncpg.UndefinedTableError() | asyncpg.UndefinedColumnError() | asyncpg.InvalidSchemaNameError():
            return DatabaseUnavailable("The database is older than this service. Its migrations have to run first.")
        case asyncpg.DataError():
            # Text that Postgres cannot keep: a NUL, or JSON that only it refuses.
            return InvalidArgument("The request holds text that cannot be stored.")
    if isinstance(error, REFUSED):
        return DatabaseUnavailable("The database does not answer right now. Nothing was changed.")
    return DatabaseUnavailable() if isinstance(error, AWAY) else ServiceError("Something went wrong on our side.")
