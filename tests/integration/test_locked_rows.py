"""Changes that wait for one locked row leave connections to other calls."""

import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service_kit.ids import new_id
from tests.support.stack import Answer, Stack, running_stack
from tests.support.waiting import start_calls
from tests.support.workflows import body_of, flow_of

pytestmark = pytest.mark.slow


CALLERS = 24
ROUNDS = 10


def slow(*changes: str) -> list[Any]:
    return [pytest.param(change, marks=pytest.mark.slow) for change in changes]


def key() -> dict[str, str]:
    return {"Idempotency-Key": str(new_id())}


@asynccontextmanager
async def row_locked(stack: Stack, service: str, table: str, row_id: str) -> AsyncIterator[None]:
    async with stack.database("admin", service) as admin, admin.transaction():
        await admin.execute(f"SELECT FROM {table} WHERE id = $1 FOR UPDATE", row_id)
        yield


async def assert_others_go_on(
    waiting: Sequence[Awaitable[Answer]], calls: Sequence[tuple[str, str, Any, Any]], stack: Stack
) -> None:
    """Each of `calls`, made one after the other, is fast while all of `waiting` wait."""
    changes = await start_calls(*waiting)
    slowest = 0.0
    for _ in range(ROUNDS):
        for method, path, body, headers in calls:
            began = time.monotonic()
            answer = await stack.rest(method, path, body, headers=headers and key())
            slowest = max(slowest, time.monotonic() - began)
            assert answer.status in (200, 201), answer.content
    assert slowest < 1, f"{slowest:.2f} s"
    assert not any(change.done() for change in changes)


@pytest.mark.parametrize("change", ["saves", *slow("saves with a base", "renames", "releases", "archives", "restores")])
async def test_other_workflows_are_read_and_saved_while_one_is_locked(unstarted: Stack, change: str):
    async with running_stack(unstarted) as stack:
        (locked, versions), (other, _) = await stack.workflow(saves=2), await stack.workflow()
        path = f"/v1/workflows/{locked['id']}"

        def changes() -> list[Awaitable[Answer]]:
            match change:
                case "saves":
                    bodies = [(f"{path}/save", body_of(flow_of("x")))]
                case "saves with a base":
                    bodies = [(f"{path}/save", body_of(flow_of("x"), base_version_id=versions[-1]["id"]))]
                case "releases":
                    bodies = [(f"{path}/release", body_of(flow_of("x"), name="name"))]
                case "archives":
                    bodies = [(f"{path}/versions/1/archive", {})]
                case "restores":
                    bodies = [(f"{path}/versions/1/restore", {})]
                case _:
                    return [stack.rest("PUT", path, {"name": "renamed"}) for _ in range(2 * CALLERS)]
            (call,) = bodies
            plain = [stack.rest("POST", *call) for _ in range(CALLERS)]
            return [*plain, *(stack.rest("POST", *call, headers=key()) for _ in range(CALLERS))]

        async with row_locked(stack, "workflow", "workflows", locked["id"]):
            await assert_others_go_on(
                changes(),
                [
                    ("GET", f"/v1/workflows/{other['id']}/versions/latest", None, False),
                    ("GET", f"/v1/workflows/{other['id']}", None, False),
                    ("POST", f"/v1/workflows/{other['id']}/save", body_of(), False),
                    ("POST", f"/v1/workflows/{other['id']}/save", body_of(), True),
                ],
                stack,
            )


async def test_a_repeat_is_answered_immediately_while_its_workflow_is_locked(unstarted: Stack):
    async with running_stack(unstarted) as stack:
        workflow, _ = await stack.workflow()
        path, first, under_way = f"/v1/workflows/{workflow['id']}/save", key(), key()
        done = await stack.rest("POST", path, body_of(), headers=first)

        async with row_locked(stack, "workflow", "workflows", workflow["id"]):
            waiting = await start_calls(stack.rest("POST", path, body_of(), headers=under_way))
            began = time.monotonic()
            repeat = await stack.rest("POST", path, body_of(), headers=first)
            refused = await stack.rest("POST", path, body_of(), headers=under_way)
            seconds = time.monotonic() - began
        (saved,) = [await call for call in waiting]

    assert (repeat.content, repeat.headers["Idempotent-Replayed"]) == (done.content, "true")
    assert (refused.status, refused.error["details"]["reason"]) == (409, "REQUEST_IN_PROGRESS")
    assert seconds < 0.5
    assert saved.status == 200


@pytest.mark.parametrize("change", ["deploys", *slow("renames", "marks")])
async def test_other_apps_are_read_and_deployed_while_one_is_locked(unstarted: Stack, change: str):
    async with running_stack(unstarted) as stack:
        workflow, _ = await stack.workflow()
        locked, other = await stack.app(workflow["id"]), await stack.app(workflow["id"])
        (deployment,) = await stack.ok("GET", f"/v1/apps/{locked['id']}/deployments")
        deploy = {"workflow_id": workflow["id"]}

        def changes() -> list[Awaitable[Answer]]:
            path = f"/v1/apps/{locked['id']}"
            if change == "renames":
                return [stack.rest("PUT", path, {"name": "renamed"}) for _ in range(2 * CALLERS)]
            if change == "marks":
                mark = f"/v1/deployments/{deployment['id']}/health"
                return [stack.rest("POST", mark, {"health": "good"}) for _ in range(2 * CALLERS)]
            plain = [stack.rest("POST", f"{path}/deploy", deploy) for _ in range(CALLERS)]
            return [*plain, *(stack.rest("POST", f"{path}/deploy", deploy, headers=key()) for _ in range(CALLERS))]

        async with row_locked(stack, "deploy", "apps", locked["id"]):
            await assert_others_go_on(
                changes(),
                [
                    ("GET", f"/v1/apps/{other['id']}", None, False),
                    ("POST", f"/v1/apps/{other['id']}/deploy", deploy, False),
                    ("POST", f"/v1/apps/{other['id']}/deploy", deploy, True),
                ],
                stack,
            )
