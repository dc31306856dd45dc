"""Pages of lists have their own connection pool. Reads and changes of single objects continue while pages wait."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.stack import Answer, Stack, running_stack
from tests.support.waiting import start_calls

pytestmark = pytest.mark.slow


ALL_CONNECTIONS_IN_USE = "All connections to the database are in use."
ONE_FOR_PAGES = {"page_pool_size": 1, "database_acquire_seconds": 0.3}


@asynccontextmanager
async def waiting_pages(stack: Stack, service: str, table: str, path: str, count: int) -> AsyncIterator[None]:
    """`count` callers of a page that wait for a lock on its table until the block ends."""
    async with stack.database("admin", service) as admin, admin.transaction():
        await admin.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        pages = await start_calls(*(stack.rest("GET", path) for _ in range(count)))
        yield
        assert not any(page.done() for page in pages)
    await asyncio.gather(*pages)


async def timed(*calls: tuple[str, str, object], stack: Stack) -> tuple[list[Answer], float]:
    """The answers to concurrent calls, and the seconds of the slowest."""
    began = time.monotonic()
    answers = await asyncio.gather(*(stack.rest(*call) for call in calls))
    return answers, time.monotonic() - began


async def test_reads_of_a_version_continue_while_audit_pages_wait(stack: Stack):
    workflow, _ = await stack.workflow()
    path = f"/v1/workflows/{workflow['id']}"

    async with waiting_pages(stack, "workflow", "audit_events", f"{path}/audit-events", 32):
        answers, seconds = await timed(
            ("GET", f"{path}/versions/latest", None), ("GET", path, None), ("GET", f"{path}/versions/1", None),
            stack=stack,
        )  # fmt: skip

    assert [answer.status for answer in answers] == [200] * 3
    assert seconds < 0.5


async def test_deploys_continue_while_lists_wait(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    keys = f"/v1/access-keys?project_id={stack.people.project}"

    async with waiting_pages(stack, "deploy", "access_keys", keys, 32):
        answers, seconds = await timed(
            ("GET", f"/v1/apps/{app['id']}", None),
            ("POST", f"/v1/apps/{app['id']}/deploy", {"workflow_id": workflow["id"]}),
            stack=stack,
        )

    assert [answer.status for answer in answers] == [200, 201]
    assert seconds < 0.5


async def test_pages_diffs_and_exports_of_the_workflow_service_use_the_page_pool(unstarted: Stack):
    async with running_stack(unstarted, workflow=ONE_FOR_PAGES) as stack:
        workflow, _ = await stack.workflow(saves=2)
        path = f"/v1/workflows/{workflow['id']}"

        async with waiting_pages(stack, "workflow", "audit_events", f"{path}/audit-events", 1):
            answers, _ = await timed(
                ("GET", f"/v1/workflows?project_id={stack.people.project}", None),
                ("GET", f"{path}/audit-events", None),
                ("GET", f"{path}/versions", None),
                ("GET", f"{path}/versions/1/diff/2", None),
                ("GET", f"{path}/versions/1/export", None),
                stack=stack,
            )

    assert_refused(answers)


async def test_pages_of_the_deploy_service_use_the_page_pool(unstarted: Stack):
    async with running_stack(unstarted, deploy=ONE_FOR_PAGES) as stack:
        workflow, _ = await stack.workflow()
        app = await stack.app(workflow["id"])
        keys = f"/v1/access-keys?project_id={stack.people.project}"

        async with waiting_pages(stack, "deploy", "access_keys", keys, 1):
            answers, _ = await timed(
                ("GET", f"/v1/apps?project_id={stack.people.project}", None),
                ("GET", f"/v1/apps/{app['id']}/deployments", None),
                ("GET", f"/v1/apps/{app['id']}/audit-events", None),
                ("GET", "/v1/runtimes", None),
                ("GET", keys, None),
                stack=stack,
            )

    assert_refused(answers)


def assert_refused(answers: list[Answer]) -> None:
    assert [answer.status for answer in answers] == [503] * len(answers)
    assert all(ALL_CONNECTIONS_IN_USE in answer.error["message"] for answer in answers)
