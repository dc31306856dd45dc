"""Calls that share statements do not wait for a late statement. Late reads are sent again."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack

import pytest

from service_kit.db import Connection, Pool, open_pool
from service_kit.hotpath.coalescer import Coalescer
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

SIZE = 6


@pytest.fixture
async def pool(database_urls: Mapping[str, str]) -> AsyncIterator[Pool]:
    """A pool with all connections open."""
    async with open_pool(database_urls["admin"], "public", SIZE) as opened:
        async with AsyncExitStack() as acquired:
            for _ in range(SIZE):
                await acquired.enter_async_context(opened.acquire())
        yield opened


class Work:
    """Work that sleeps in Postgres. Each key has the seconds of its statements; the last is for all later ones."""

    def __init__(self, **seconds: Sequence[float]) -> None:
        self._seconds = {key: list(each) for key, each in seconds.items()}
        self.statements: list[list[str]] = []
        self.under_way = 0
        self.most_under_way = 0

    async def __call__(self, db: Connection, keys: Sequence[str]) -> list[str]:
        self.statements.append(list(keys))
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        try:
            for key in keys:
                left = self._seconds[key]
                seconds = left.pop(0) if len(left) > 1 else left[0]
                await db.execute("SELECT pg_sleep($1)" if seconds >= 0 else "SELECT 1 / 0 + $1", abs(seconds))
        finally:
            self.under_way -= 1
        return [f"{key} of statement {len(self.statements)}" for key in keys]

    async def has_begun(self) -> bool:
        return bool(self.statements)


async def test_a_late_statement_does_not_delay_other_calls(pool: Pool):
    work = Work(slow=[2], quick=[0])
    calls: Coalescer[str, str] = Coalescer(pool, work)
    slow = asyncio.ensure_future(calls.get("slow"))
    await eventually(work.has_begun, 1)

    began = time.monotonic()
    await asyncio.gather(*(calls.get("quick") for _ in range(3)))
    waited = time.monotonic() - began
    for _ in range(3):
        await calls.get("quick")

    assert not slow.done()
    assert waited < 1, "calls wait until the first statement is late"
    assert await slow
    assert work.statements == [["slow"], ["quick"] * 3, *[["quick"]] * 3]


async def test_a_late_statement_that_changes_data_is_not_sent_again(pool: Pool):
    work = Work(save=[0.3, 0])

    await Coalescer(pool, work).get("save")

    assert work.statements == [["save"]]


async def test_a_late_read_is_sent_again_once(pool: Pool):
    work = Work(stuck=[2, 0], slow=[0.5], quick=[0])
    calls: Coalescer[str, str] = Coalescer(pool, work, only_reads=True)

    began = time.monotonic()
    await calls.get("stuck")
    seconds = time.monotonic() - began
    await calls.get("slow")

    assert 0.1 <= seconds < 1.5
    assert work.statements == [["stuck"], ["stuck"], ["slow"], ["slow"]]


async def test_a_read_fails_only_when_all_its_statements_have_failed(pool: Pool):
    work = Work(read=[0.4, -1])

    answer = await Coalescer(pool, work, only_reads=True).get("read")

    assert work.statements == [["read"], ["read"]]
    assert answer.startswith("read")


async def test_one_kind_of_call_uses_at_most_half_of_the_connections(pool: Pool):
    work = Work(late=[0.6])
    calls: Coalescer[str, str] = Coalescer(pool, work)
    waiting = []
    for _ in range(2 * SIZE):
        waiting.append(asyncio.ensure_future(calls.get("late")))
        await asyncio.sleep(0.11)
        async with pool.acquire() as db:
            await db.execute("SELECT 1")

    await asyncio.gather(*waiting)

    assert work.most_under_way == SIZE // 2
    assert sum(map(len, work.statements)) == 2 * SIZE


async def test_a_call_whose_caller_has_left_is_not_sent_to_postgres(pool: Pool):
    work = Work(late=[0.3], gone=[0], stays=[0])
    calls: Coalescer[str, str] = Coalescer(pool, work)
    late = asyncio.ensure_future(calls.get("late"))
    await eventually(work.has_begun, 1)
    gone, stays = (asyncio.ensure_future(calls.get(key)) for key in ("gone", "stays"))
    await asyncio.sleep(0)
    gone.cancel()

    await asyncio.gather(late, stays)

    assert work.statements == [["late"], ["stays"]]
