"""A service's pool of connections to Postgres."""

import asyncio
import time
from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import asyncpg

from service_kit import metrics
from service_kit.connection import BoundedConnection
from service_kit.keyed_locks import KeyedLocks
from service_kit.settings import DatabaseLimits

if TYPE_CHECKING:  # asyncpg's classes take parameters in its type stubs only
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    AsyncpgPool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    AsyncpgPool = asyncpg.Pool
Row = asyncpg.Record

USUAL_LIMITS = DatabaseLimits()
RENEW_SECONDS = 10.0
"""Minimum seconds between two renewals. More renewals would add connections to an overloaded server that confirms
cancels slowly."""
CLOSE_SECONDS = 2.0
"""How long statements in progress may take when the pool closes."""


ONE_PLAN = {
    # Postgres would plan a statement with arrays again on each call, which takes three times as long as running it.
    "plan_cache_mode": "force_generic_plan",
    # The plan is kept, so it must also suit the table when it is no longer small.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
"""Settings for statements that find rows by whole keys, whatever their parameters."""


class NoConnection(Exception):
    """No connection was available, so nothing was changed. Its cause is a TimeoutError when all are in use."""


class LockHeld(NoConnection):
    """Other changes of the same object have not ended in time."""


class Pool:
    """A pool of at most `size` connections to Postgres. Every wait for a connection has a limit."""

    def __init__(self, pool: AsyncpgPool, size: int, acquire_seconds: float) -> None:
        self.size = size
        self._pool = pool
        self._acquire_seconds = acquire_seconds
        self._locks = KeyedLocks()
        self._users = 0
        self._renewed_at = float("-inf")

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """A connection until the block ends. Raises NoConnection."""
        self._users += 1
        try:
            connection = await self._acquire()
            try:
                yield connection
            except asyncpg.InterfaceError as error:
                raise _first(error) from None
            finally:
                with suppress(*FAILURES):  # asyncpg has closed the connection; finished statements stay valid
                    await self._pool.release(connection)
        finally:
            self._users -= 1

    @asynccontextmanager
    async def acquire_to_change(self, thing: Hashable) -> AsyncIterator[Connection]:
        """A connection for a change of `thing`, under its lock in this process. Raises NoConnection or LockHeld.

        Without the lock, each change that waits for a row's lock in Postgres would keep a connection and then work on
        an old snapshot. With it, one workflow accepts more than three times as many saves.
        """
        lock = self._locks.of(thing)
        try:
            async with asyncio.timeout(self._acquire_seconds):
                await lock.acquire()
        except TimeoutError:
            raise LockHeld from None
        try:
            async with self.acquire() as connection:
                yield connection
        finally:
            lock.release()

    def is_changing(self, thing: Hashable) -> bool:
        """Whether `acquire_to_change` would wait."""
        return self._locks.of(thing).locked()

    async def _acquire(self) -> "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]":
        try:
            if self._users <= self.size:
                return await self._pool.acquire()  # a connection is free, or is opened within its own time limit
            async with asyncio.timeout(self._acquire_seconds):
                return await self._pool.acquire()
        except FAILURES as error:
            raise NoConnection from error

    async def renew(self) -> None:
        """Reopen each connection before its next use. Called when one did not answer, because others may be dead
        too."""
        now = time.monotonic()
        if now - self._renewed_at > RENEW_SECONDS:
            self._renewed_at = now
            await self._pool.expire_connections()


def _first(error: asyncpg.InterfaceError) -> BaseException:
    """The failure that broke a connection. When a transaction ends on a broken connection, its own error hides the
    first one."""
    first = error.__context__
    return first if isinstance(first, (asyncio.CancelledError, *FAILURES)) else error


@asynccontextmanager
async def open_pool(
    url: str,
    schema: str,
    size: int,
    limits: DatabaseLimits = USUAL_LIMITS,
    name: str = "",
    *,
    one_plan: bool = False,
) -> AsyncIterator[Pool]:
    """A pool of at most `size` connections that see `schema`. It opens without a database and finds one later.

    `name` identifies the pool in pg_stat_activity and in the metrics. With `one_plan`, each statement is planned once,
    with index lookups (`ONE_PLAN`).
    """
    label = f"{schema} {name}".rstrip()
    settings = {
        "search_path": schema,
        "statement_timeout": _milliseconds(limits.statement),
        "lock_timeout": _milliseconds(limits.lock),
        "idle_in_transaction_session_timeout": _milliseconds(limits.idle_transaction),
        **(ONE_PLAN if one_plan else {}),
    }

    async def connect(*args: Any, **options: Any) -> BoundedConnection:
        try:
            async with asyncio.timeout(limits.connect):
                connection: BoundedConnection = await asyncpg.connect(*args, **options)
                try:
                    connection.answer_seconds = limits.statement + limits.grace
                    connection.on_silence = opened.renew
                    connection.notice_silence(limits.silence)
                    await _set(connection, settings)
                    await read_json_as_bytes(connection)
                except BaseException:
                    connection.terminate()
                    raise
        except TimeoutError as error:
            raise ConnectionError(f"not connected after {limits.connect:g} s") from error
        return connection

    pool = asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        max_inactive_connection_lifetime=300,
        connect=connect,
        reset=_reset,
        connection_class=BoundedConnection,
        timeout=limits.connect,
        server_settings={"application_name": f"flowpin {label}"},
    )
    opened = Pool(await pool, size, limits.acquire)
    try:
        with metrics.watching_pool(label, size, pool.get_size, pool.get_idle_size):
            yield opened
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await pool.close()  # terminates the connections when its time is up


async def _set(connection: Connection, settings: Mapping[str, str]) -> None:
    """Set settings for the session. PgBouncer refuses them as startup parameters."""
    await connection.execute(
        "SELECT set_config(name, value, false) FROM unnest($1::text[], $2::text[]) AS setting (name, value)",
        list(settings),
        list(settings.values()),
    )


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


async def read_json_as_bytes(connection: Connection) -> None:
    # JSON is passed as exact bytes in both directions, without conversion to text and without parsing.
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=lambda value: value, decoder=lambda value: value, format="binary"
    )


async def _reset(connection: Connection) -> None:
    # asyncpg's own reset is a round trip on every release. No code sets session state, so only the open transaction of
    # an interrupted call is cleaned up.
    if connection.is_in_transaction():
        await connection.reset()


def only(row: Row | None) -> Row:
    """The row of a statement that always returns one."""
    if row is None:
        raise LookupError("the statement returned no row")
    return row


FAILURES = (
    NoConnection,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # asyncpg raises this when a server ends in the middle of a message
    OSError,
    TimeoutError,
)
"""All exceptions that a use of the database can raise."""
