"""Saves that wait at the same time share one statement. Each is handled as if it were alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service_kit.hotpath import coalescer
from service_kit.ids import new_id
from tests.support.refusals import refusal
from tests.support.stack import Stack
from tests.support.waiting import eventually, start_calls
from tests.support.workflows import flow_of, listed, save_request, workflow_now

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'versions'::regclass"
NOTED = "SELECT token_id FROM audit_events WHERE action = 'SaveWorkflow' AND subject_id = ANY($1)"
STATEMENTS = "SELECT count(DISTINCT xmin::text) FROM versions WHERE workflow_id = ANY($1)"
"""A row's xmin is the transaction that inserted it, and these are statements by themselves."""


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """Shared by all tests of this module; each test creates its own workflows."""
    return shared_stack


@pytest.fixture(autouse=True)
def wait_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next statement waits for a delayed one without a limit."""
    monkeypatch.setattr(coalescer, "LATE_CHANGE_SECONDS", 10)


@asynccontextmanager
async def held_up(stack: Stack) -> AsyncIterator[None]:
    """Delay a save until the block ends, so that saves that begin in the block share the next statement."""
    first = await stack.draft()
    async with stack.database("admin", "workflow") as db:
        async with db.transaction():
            await db.execute("LOCK TABLE versions IN SHARE MODE")
            held = asyncio.ensure_future(save(stack, first["id"]))

            async def waits() -> bool:
                return bool(await db.fetchval(WAITING))

            await eventually(waits, 5)
            yield
        await held


async def save(stack: Stack, workflow_id: str, token: str = "editor", **fields: Any) -> Any:
    return (await stack.workflows.SaveWorkflow(save_request(workflow_id, **fields), metadata=stack.as_(token))).data


async def test_saves_that_share_a_statement_are_authorized_separately(stack: Stack):
    ours, others = await stack.draft("ours"), await stack.draft("others")
    theirs = await stack.draft("theirs", project=stack.people.foreign, token="stranger")
    ids = [ours["id"], others["id"], theirs["id"]]

    async with held_up(stack):
        saved = await start_calls(
            save(stack, ours["id"], "editor"), save(stack, others["id"], "admin"), save(stack, theirs["id"], "stranger")
        )
        refused = await start_calls(
            refusal(save(stack, theirs["id"], "editor")),
            refusal(save(stack, ours["id"], "stranger")),
            refusal(save(stack, ours["id"], "viewer")),
            refusal(save(stack, str(new_id()), "editor")),
        )

    assert [version.workflow_id for version in await asyncio.gather(*saved)] == ids
    reasons = [error.reason for error in await asyncio.gather(*refused)]
    assert reasons == ["WORKFLOW_NOT_FOUND", "WORKFLOW_NOT_FOUND", "ROLE_TOO_SMALL", "WORKFLOW_NOT_FOUND"]
    async with stack.database("admin", "workflow") as db:
        assert await db.fetchval(STATEMENTS, ids) == 1
        noted = await db.fetch(
            "SELECT token_id FROM audit_events WHERE action = 'SaveWorkflow' AND subject_id = ANY($1)", ids
        )
    assert sorted(row["token_id"] for row in noted) == ["tok_admin", "tok_editor", "tok_stranger"]


async def test_saves_of_one_workflow_that_share_a_statement_are_numbered_in_order(stack: Stack):
    workflow = await stack.draft()

    async with held_up(stack):
        saved = await start_calls(save(stack, workflow["id"], flow=flow_of("a"), name="first"))
        refused = await start_calls(refusal(save(stack, workflow["id"], "stranger", flow=flow_of("b"))))
        for token, note in (("admin", "b"), ("editor", "a"), ("admin", "a"), ("editor", "c")):
            saved += await start_calls(save(stack, workflow["id"], token, flow=flow_of(note), name="later"))

    versions = await asyncio.gather(*saved)
    assert [version.version for version in versions] == [1, 2, 3, 4, 5]
    assert [version.identical_to for version in versions] == [0, 0, 1, 3, 0]
    assert [version.current for version in versions] == [False] * 4 + [True]
    assert [error.reason for error in await asyncio.gather(*refused)] == ["WORKFLOW_NOT_FOUND"]
    read = await stack.ok("GET", f"/v1/workflows/{workflow['id']}/versions?sort=version")
    assert [(row["id"], row.get("identical_to", 0)) for row in read] == [(v.id, v.identical_to) for v in versions]
    assert [row["created_at"] for row in read] == sorted(row["created_at"] for row in read)
    now = await workflow_now(stack, workflow["id"])
    assert (now["name"], now["version_count"], now["status"]) == ("first", 5, "released")
    async with stack.database("admin", "workflow") as db:
        assert await db.fetchval(STATEMENTS, [workflow["id"]]) == 1


async def test_a_save_that_cannot_be_stored_does_not_fail_the_others_of_its_statement(stack: Stack):
    drafts = [await stack.draft() for _ in range(3)]

    async with held_up(stack):
        saved = await start_calls(*(save(stack, draft["id"]) for draft in drafts[:2]))
        (refused,) = await start_calls(refusal(save(stack, drafts[2]["id"], name="Not A Slug")))

    assert [version.version for version in await asyncio.gather(*saved)] == [1, 1]
    assert list((await refused).fields) == ["name"]
    assert (await workflow_now(stack, drafts[2]["id"]))["status"] == "draft"


async def test_a_save_of_a_locked_workflow_does_not_delay_saves_of_others(stack: Stack):
    held, *others = [(await stack.workflow())[0]["id"] for _ in range(3)]
    async with stack.database("admin", "workflow") as db, db.transaction():
        await db.execute("SELECT FROM workflows WHERE id = $1 FOR UPDATE", held)
        waiting = asyncio.ensure_future(save(stack, held))

        async with asyncio.timeout(5):
            for _ in range(5):
                await asyncio.gather(*(save(stack, other) for other in others))
        assert not waiting.done()

    assert (await waiting).version == 2
    assert [await listed(stack, other) for other in others] == [[6, 5, 4, 3, 2, 1]] * 2


async def test_a_waiting_save_whose_caller_hangs_up_is_not_made(stack: Stack):
    left, stays = await stack.draft(), await stack.draft()

    async with held_up(stack):
        (gone,) = await start_calls(save(stack, left["id"]))
        gone.cancel()
        (saved,) = await start_calls(save(stack, stays["id"]))

    assert (await saved).version == 1
    assert (await workflow_now(stack, left["id"]))["status"] == "draft"
