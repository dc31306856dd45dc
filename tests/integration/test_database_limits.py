"""Each wait for Postgres ends at its configured limit under load, and the caller gets the cause."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service_kit.database_errors import service_error
from service_kit.db import FAILURES, NoConnection, Pool, open_pool
from service_kit.ids import new_id
from service_kit.settings import DatabaseLimits
from tests.support.stack import Answer, Stack, running_stack
from tests.support.waiting import start_calls
from tests.support.workflows import body_of, listed

pytestmark = pytest.mark.slow


SHOWN = {
    "search_path": "{schema}",
    "statement_timeout": "10s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "10s",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
}


@asynccontextmanager
async def row_locked(stack: Stack, workflow_id: str) -> AsyncIterator[None]:
    async with stack.database("admin", "workflow") as admin, admin.transaction():
        await admin.execute("SELECT FROM workflows WHERE id = $1 FOR UPDATE", workflow_id)
        yield


async def saves(stack: Stack, workflow_id: str, count: int, *, keyed: bool = False) -> list[Answer]:
    """Send `count` concurrent saves, each with its own idempotency key if `keyed`."""
    path = f"/v1/workflows/{workflow_id}/save"
    keys = [{"Idempotency-Key": str(new_id())} if keyed else {} for _ in range(count)]
    return await asyncio.gather(*(stack.rest("POST", path, body_of(), headers=key) for key in keys))


def assert_refused(answers: list[Answer], sentence: str) -> None:
    assert {(answer.status, answer.error["details"]["reason"]) for answer in answers} == {(503, "DATABASE_UNAVAILABLE")}
    assert all(sentence in answer.error["message"] for answer in answers)
    assert all("Nothing was changed" in answer.error["message"] for answer in answers)
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)


@pytest.mark.parametrize("keyed", [False, True], ids=["plain", "keyed"])
async def test_a_locked_row_is_waited_for_until_lock_timeout(unstarted: Stack, keyed: bool):
    async with running_stack(unstarted, workflow={"database_lock_seconds": 0.3}) as stack:
        workflow, _ = await stack.workflow()
        other, _ = await stack.workflow()

        async with row_locked(stack, workflow["id"]):
            began = time.monotonic()
            refused = asyncio.ensure_future(saves(stack, workflow["id"], 8, keyed=keyed))
            await asyncio.sleep(0.1)
            read = await stack.rest("GET", f"/v1/workflows/{other['id']}/versions/latest")
            answers = await refused
            seconds = time.monotonic() - began

        assert_refused(answers, "Another change of the same thing has not ended in time.")
        assert read.status == 200
        assert seconds < 8 * 0.3 + 1.5, "one after the other"
        assert await listed(stack, workflow["id"]) == [1]


async def test_a_statement_is_canceled_at_statement_timeout(unstarted: Stack):
    settings = {"database_statement_seconds": 0.3, "database_lock_seconds": 60}
    async with running_stack(unstarted, workflow=settings) as stack:
        workflow, _ = await stack.workflow()

        async with row_locked(stack, workflow["id"]):
            answers = await saves(stack, workflow["id"], 4, keyed=True)

        assert_refused(answers, "The database took too long, and the call was canceled.")
        assert await listed(stack, workflow["id"]) == [1]


async def test_a_free_connection_is_waited_for_until_its_limit(unstarted: Stack):
    async with running_stack(unstarted, workflow={"pool_size": 2, "database_acquire_seconds": 0.3}) as stack:
        ids = [(await stack.workflow())[0]["id"] for _ in range(3)]

        async with row_locked(stack, ids[0]), row_locked(stack, ids[1]):
            busy = await start_calls(*(saves(stack, each, 1, keyed=True) for each in ids[:2]))
            answers = await asyncio.gather(
                *(stack.rest("PUT", f"/v1/workflows/{ids[2]}", {"name": "other"}) for _ in range(4))
            )
        saved = [answer for save in busy for answer in await save]

        assert_refused([answers[0]], "All connections to the database are in use.")
        assert_refused(answers[1:], "Nothing was changed")
        assert [answer.status for answer in saved] == [200, 200]


async def change(pool: Pool, *statements: str) -> None:
    """A transaction that pauses 0.4 s after each statement."""
    async with pool.acquire() as db, db.transaction():
        for statement in statements:
            await db.execute(statement)
            await asyncio.sleep(0.4)


async def failure_of_change(stack: Stack, limits: DatabaseLimits, *statements: str) -> Exception:
    url, schema = stack.urls["flowpin_workflow"], stack.schemas["workflow"]
    async with open_pool(url, schema, 1, limits) as pool:
        with pytest.raises(FAILURES) as caught:
            await change(pool, *statements)
        async with pool.acquire() as db:
            assert await db.fetchval("SELECT 1") == 1
    return caught.value


async def test_an_idle_transaction_is_ended_at_its_limit(unstarted: Stack):
    failure = await failure_of_change(unstarted, DatabaseLimits(idle_transaction=0.2), "SELECT 1", "SELECT 2")

    assert service_error(failure).reason == "DATABASE_UNAVAILABLE"


async def test_the_cause_of_a_failed_transaction_is_raised_though_its_rollback_fails_too(unstarted: Stack):
    limits = DatabaseLimits(statement=60, grace=-59.7)  # the client cancels first

    failure = await failure_of_change(unstarted, limits, "SELECT pg_sleep(5)")

    assert isinstance(failure, TimeoutError)


async def test_an_unreachable_postgres_is_waited_for_until_its_limit(unstarted: Stack):
    accepted: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda reader, writer: accepted.append(writer), "127.0.0.1", 0)
    url = f"postgresql://flowpin@127.0.0.1:{silent.sockets[0].getsockname()[1]}/flowpin"

    async with open_pool(url, "workflow", 2, DatabaseLimits(connect=0.2)) as pool:
        began = time.monotonic()
        with pytest.raises(NoConnection) as caught:
            await change(pool)
        seconds = time.monotonic() - began
    silent.close()
    for writer in accepted:
        writer.close()

    assert seconds < 1
    assert "not connected after 0.2 s" in str(caught.value.__cause__)


async def test_a_session_has_its_own_limits_and_plan_mode_whatever_its_role_has(unstarted: Stack):
    url, schema = unstarted.urls["flowpin_workflow"], unstarted.schemas["workflow"]

    async with open_pool(url, schema, 1, one_plan=True) as pool, pool.acquire() as db:
        shown = {name: await db.fetchval(f"SHOW {name}") for name in SHOWN}

    assert shown == {name: value.format(schema=schema) for name, value in SHOWN.items()}


async def test_other_changes_of_the_same_workflow_are_waited_for_until_their_limit(unstarted: Stack):
    settings = {"database_acquire_seconds": 0.3, "database_lock_seconds": 60}
    async with running_stack(unstarted, workflow=settings) as stack:
        workflow, _ = await stack.workflow()

        async with row_locked(stack, workflow["id"]):
            (first,) = await start_calls(saves(stack, workflow["id"], 1, keyed=True))
            answers = await saves(stack, workflow["id"], 4, keyed=True)
        (saved,) = await first

        assert_refused(answers, "Another change of the same thing has not ended in time.")
        assert saved.status == 200


async def test_callers_that_hang_up_free_their_connections(unstarted: Stack):
    async with running_stack(unstarted, workflow={"pool_size": 2, "database_lock_seconds": 60}) as stack:
        ids = [(await stack.workflow())[0]["id"] for _ in range(2)]
        workflow = {"id": ids[0]}

        async with row_locked(stack, ids[0]), row_locked(stack, ids[1]):
            calls = await start_calls(*(saves(stack, each, 2, keyed=True) for each in ids))
            for call in calls:
                call.cancel()
            async with asyncio.timeout(3):
                assert (await stack.rest("GET", f"/v1/workflows/{workflow['id']}")).status == 200

        assert await listed(stack, workflow["id"]) == [1]
