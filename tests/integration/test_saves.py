"""Saves append versions: each number once and without gaps, also for concurrent calls."""

import asyncio

import pytest

from tests.support.stack import Stack
from tests.support.workflows import body_of, flow_of, listed, save_request, workflow_now

FLOWS = [flow_of(note) for note in "abcdefg"]


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """Shared by all tests of this module; each test creates its own workflows."""
    return shared_stack


async def save_over_rest(stack: Stack, workflow_id: str, flow: bytes) -> tuple[int, int | None]:
    saved = await stack.ok("POST", f"/v1/workflows/{workflow_id}/save", body_of(flow))
    return saved["version"], saved.get("identical_to")


async def save_over_grpc(stack: Stack, workflow_id: str, flow: bytes) -> tuple[int, int | None]:
    saved = (await stack.workflows.SaveWorkflow(save_request(workflow_id, flow), metadata=stack.as_("editor"))).data
    return saved.version, saved.identical_to if saved.HasField("identical_to") else None


async def test_two_hundred_concurrent_saves_over_rest_and_grpc_get_each_number_once(stack: Stack):
    workflow = await stack.draft()
    protocols = (save_over_rest, save_over_grpc)

    saved = await asyncio.gather(
        *(protocols[number % 2](stack, workflow["id"], FLOWS[number % 7]) for number in range(200)),
    )

    assert sorted(number for number, _ in saved) == list(range(1, 201))
    assert await listed(stack, workflow["id"]) == list(range(200, 0, -1))
    assert (await workflow_now(stack, workflow["id"]))["next_version"] == 201


async def test_identical_to_of_a_save_is_the_same_in_later_reads(stack: Stack):
    workflow = await stack.draft()
    digests: dict[int, str] = {}

    saved = await asyncio.gather(
        *(save_over_grpc(stack, workflow["id"], FLOWS[number % 3]) for number in range(60)),
    )

    answered = dict(saved)
    for row in await stack.ok("GET", f"/v1/workflows/{workflow['id']}/versions?page_size=500&sort=version"):
        earlier = [number for number, digest in digests.items() if digest == row["digest"]]
        assert answered[row["version"]] == row.get("identical_to") == max(earlier, default=None)
        digests[row["version"]] = row["digest"]
    assert len(digests) == 60


async def test_each_workflow_numbers_its_own_versions(stack: Stack):
    one, two = await stack.draft("one"), await stack.draft("two")

    await asyncio.gather(
        *(save_over_grpc(stack, workflow["id"], FLOWS[0]) for workflow in (one, two) for _ in range(20)),
    )

    for workflow in (one, two):
        assert await listed(stack, workflow["id"]) == list(range(20, 0, -1))


async def test_concurrent_saves_and_renames_lose_no_change(stack: Stack):
    workflow, _ = await stack.workflow()
    path = f"/v1/workflows/{workflow['id']}"

    await asyncio.gather(
        *(save_over_grpc(stack, workflow["id"], FLOWS[0]) for _ in range(20)),
        *(stack.ok("PUT", path, {"name": f"name-{number}"}) for number in range(20)),
    )

    now = await workflow_now(stack, workflow["id"])
    assert now["version_count"] == 21
    assert now["name"].startswith("name-")


async def test_concurrent_first_saves_release_a_draft_once(stack: Stack):
    drafts = (await stack.row_counts())["workflow.drafts"]
    workflow = await stack.draft()

    saved = await asyncio.gather(*(save_over_grpc(stack, workflow["id"], FLOWS[0]) for _ in range(10)))

    assert sorted(number for number, _ in saved) == list(range(1, 11))
    assert (await stack.row_counts())["workflow.drafts"] == drafts


async def test_of_a_concurrent_save_and_deletion_of_a_draft_one_succeeds(stack: Stack):
    for _ in range(10):
        workflow = await stack.draft()
        path = f"/v1/workflows/{workflow['id']}"

        saved, deleted = await asyncio.gather(
            stack.rest("POST", path + "/save", body_of(), token="editor"),
            stack.rest("DELETE", path, token="editor"),
        )

        there = (await stack.rest("GET", path)).status == 200
        # The save releases the draft, and an editor may not delete a released workflow.
        assert (saved.status, deleted.status, there) in [(200, 403, True), (404, 200, False)]


async def test_the_answer_of_a_save_is_the_version_without_its_content(stack: Stack):
    workflow = await stack.draft()

    saved = await stack.ok("POST", f"/v1/workflows/{workflow['id']}/save", body_of(description="the first"))

    read = await stack.ok("GET", f"/v1/workflows/{workflow['id']}/versions/{saved['id']}")
    assert {key: value for key, value in read.items() if key not in ("flow", "flow_ui")} == saved
    assert (saved["version"], saved["label"], saved["description"]) == (1, "v1", "the first")
    assert saved["current"] is True
    assert saved["created_by_name"] == "Ada Lovelace"


async def test_a_save_without_the_role_to_save_changes_nothing(stack: Stack):
    workflow, _ = await stack.workflow()
    before = await stack.row_counts()

    answer = await stack.rest("POST", f"/v1/workflows/{workflow['id']}/save", body_of(), token="viewer")

    assert (answer.status, answer.error["details"]["reason"]) == (403, "ROLE_TOO_SMALL")
    assert await stack.row_counts() == before
    assert (await workflow_now(stack, workflow["id"]))["next_version"] == 2


async def test_the_answer_of_a_save_has_the_callers_request_id(stack: Stack):
    workflow = await stack.draft()

    answer = await stack.rest(
        "POST", f"/v1/workflows/{workflow['id']}/save", body_of(), headers={"x-request-id": "mine-7"}
    )

    assert answer.headers["X-Request-Id"] == "mine-7"
