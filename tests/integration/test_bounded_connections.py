"""A statement that exceeds its time raises TimeoutError, whichever step it is in."""

import asyncio
import time
from collections.abc import Mapping

import asyncpg
import pytest

from service_kit.connection import BoundedConnection


async def test_a_statement_that_times_out_between_prepare_and_execute_raises_timeout_error(
    database_urls: Mapping[str, str],
):
    db = await asyncpg.connect(database_urls["admin"], connection_class=BoundedConnection)
    db.answer_seconds = 0.2

    statement = asyncio.create_task(db.fetchval("SELECT 1 AS never_prepared_before"))
    await asyncio.sleep(0)  # Postgres is asked to prepare it
    time.sleep(0.4)  # noqa: ASYNC251 - the event loop sees the answer and the timeout together

    with pytest.raises(TimeoutError):
        await statement
