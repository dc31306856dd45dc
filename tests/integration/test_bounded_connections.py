"""A statement whose time is over fails with TimeoutError, at whatever step of it that happens."""

import asyncio
import time
from collections.abc import Mapping

import asyncpg
import pytest

from service_kit.connection import BoundedConnection


async def test_a_statement_is_given_up_between_its_two_steps(database_urls: Mapping[str, str]):
    db = await asyncpg.connect(database_urls["admin"], connection_class=BoundedConnection)
    db.answer_seconds = 0.2

    statement = asyncio.create_task(db.fetchval("SELECT 1 AS never_prepared_before"))
    await asyncio.sleep(0)  # Postgres is asked to prepare it
    time.sleep(0.4)  # noqa: ASYNC251 - its answer and the end of its time are noticed at once

    with pytest.raises(TimeoutError):
        await statement
