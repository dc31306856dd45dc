"""The rows, marks and total of a page are from one snapshot, even when rows change during the read."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service_kit.db import Connection, Pool
from tests.support.deployments import add_runtime
from tests.support.stack import Answer, Stack

Change = Callable[[], Awaitable[Any]]
IN_BACKGROUND = "lease_until", "idempotency_keys"
"""In statements that do not read a list."""


class WatchedConnection:
    """A connection that reports each finished read."""

    def __init__(self, db: Connection, after_read: Change) -> None:
        self._db = db
        self._after_read = after_read

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._db, name)
        if name not in ("fetch", "fetchrow", "fetchval"):
            return method

        async def read(statement: str, *values: Any) -> Any:
            found = await method(statement, *values)
            if not any(word in statement for word in IN_BACKGROUND):
                await self._after_read()
            return found

        return read


async def listed(
    stack: Stack, path: str, change: Change, monkeypatch: pytest.MonkeyPatch, reads_before: int = 1
) -> Answer:
    """The answer of a list when the change happens after its first read, or after `reads_before` reads."""
    acquire, reads = Pool.acquire, 0

    async def count_read() -> None:
        nonlocal reads
        reads += 1
        if reads == reads_before:
            await change()

    @asynccontextmanager
    async def acquire_watched(pool: Pool) -> AsyncIterator[Any]:
        async with acquire(pool) as db:
            yield WatchedConnection(db, count_read)

    with monkeypatch.context() as patch:
        patch.setattr(Pool, "acquire", acquire_watched)
        answer = await stack.rest("GET", path + ("&" if "?" in path else "?") + "page_size=500")
    assert reads >= reads_before
    assert answer.status == 200
    return answer


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """Shared by all tests of this module."""
    return shared_stack


@pytest.mark.parametrize("query", ["", "?sort=version", "?include_archived=true"])
@pytest.mark.parametrize("call", ["save", "versions/2/archive", "versions/3/unarchive"])
async def test_a_page_of_versions_marks_the_latest_and_has_no_hidden_version(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, query: str, call: str
):
    workflow, _ = await stack.workflow(saves=6)
    path = f"/v1/workflows/{workflow['id']}"
    await stack.ok("POST", f"{path}/versions/3/archive")

    async def change() -> None:
        await (stack.save(workflow["id"]) if call == "save" else stack.ok("POST", f"{path}/{call}"))

    answer = await listed(stack, f"{path}/versions{query}", change, monkeypatch)

    numbers = sorted(version["version"] for version in answer.data)
    assert answer.body["pagination"]["total_count"] == len(numbers)
    assert [version["version"] for version in answer.data if version["current"]] == numbers[-1:]
    if "include_archived" not in query:
        assert [version for version in answer.data if "archived_at" in version] == []


async def test_a_page_beyond_the_end_is_empty_while_versions_are_saved(stack: Stack, monkeypatch: pytest.MonkeyPatch):
    workflow, _ = await stack.workflow(saves=1)

    answer = await listed(
        stack, f"/v1/workflows/{workflow['id']}/versions?page=2", lambda: stack.save(workflow["id"]), monkeypatch
    )

    assert (answer.data, answer.body["pagination"]["total_count"]) == ([], 1)


# With a filter, the app is read first.
@pytest.mark.parametrize(
    ("query", "reads_before"), [("", 1), ("sort=started_at", 1), ("status=succeeded", 2), ("environment=production", 2)]
)
async def test_a_page_of_deployments_marks_the_live_one(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, query: str, reads_before: int
):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    path = f"/v1/apps/{app['id']}/deployments?{query}"

    answer = await listed(stack, path, lambda: stack.deploy(app["id"], workflow["id"]), monkeypatch, reads_before)

    assert answer.body["pagination"]["total_count"] == len(answer.data)
    assert sum(deployment["live"] for deployment in answer.data) == 1


async def test_the_total_of_a_list_counts_the_rows_of_its_pages(stack: Stack, monkeypatch: pytest.MonkeyPatch):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    project, key = f"project_id={stack.people.project}", {"name": "key", "project_id": str(stack.people.project)}
    lists: dict[str, Change] = {
        f"/v1/workflows?{project}": stack.draft,
        f"/v1/apps?{project}": lambda: stack.app(workflow["id"]),
        f"/v1/access-keys?{project}": lambda: stack.ok("POST", "/v1/access-keys", key),
        f"/v1/workflows/{workflow['id']}/audit-events": lambda: stack.save(workflow["id"]),
        f"/v1/workflow-audit-events?{project}": lambda: stack.save(workflow["id"]),
        f"/v1/app-audit-events?{project}": lambda: stack.deploy(app["id"], workflow["id"]),
        f"/v1/apps/{app['id']}/audit-events": lambda: stack.deploy(app["id"], workflow["id"]),
        "/v1/runtimes": lambda: add_runtime(stack, "0.70"),
    }

    for path, change in lists.items():
        answer = await listed(stack, path, change, monkeypatch)

        assert answer.body["pagination"]["total_count"] == len(answer.data), path


async def test_a_page_beyond_the_end_has_the_total_of_the_list(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    project = f"project_id={stack.people.staged}"
    paths = [
        f"/v1/workflows?{project}&page=9",
        f"/v1/apps?{project}&page=9",
        f"/v1/access-keys?{project}&page=9",
        f"/v1/workflows/{workflow['id']}/audit-events?page=10000000&page_size=500",
        f"/v1/workflows/{workflow['id']}/versions?page=10000000&page_size=500",
        f"/v1/apps/{app['id']}/deployments?page=10000000&page_size=500",
        f"/v1/apps/{app['id']}/deployments?sort=started_at&page=10000000&page_size=500",
        f"/v1/apps/{app['id']}/deployments?status=succeeded&page=9",
    ]

    answers = [await stack.rest("GET", path) for path in paths]

    assert [answer.data for answer in answers] == [[]] * len(paths)
    totals = [answer.body["pagination"]["total_count"] for answer in answers]
    assert totals == [0, 0, 0, 2, 1, 1, 1, 1]
