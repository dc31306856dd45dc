"""Signals between replicas: LISTEN and NOTIFY, on a connection that is used only for this."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from service_kit.connection import BoundedConnection
from service_kit.db import USUAL_LIMITS, Connection


@asynccontextmanager
async def listening(
    url: str, channel: str, receive: Callable[[Any, int, str, Any], None]
) -> AsyncIterator[BoundedConnection]:
    """A connection that calls `receive` with each notification, until the block ends. Raises one of db.FAILURES."""
    connection: BoundedConnection = await asyncpg.connect(
        url,
        timeout=USUAL_LIMITS.connect,
        connection_class=BoundedConnection,
        server_settings={"application_name": "flowpin signals"},
    )
    try:
        connection.notice_silence(USUAL_LIMITS.silence)
        await connection.add_listener(channel, receive)
        yield connection
    finally:
        connection.terminate()


async def notify(db: Connection, channel: str, texts: Sequence[str]) -> None:
    await db.execute("SELECT pg_notify($1, text) FROM unnest($2::text[]) AS sent (text)", channel, texts)
