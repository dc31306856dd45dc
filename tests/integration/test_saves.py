"""Saves append: every number once, no gap, whatever comes at the same time."""

import asyncio

import pytest

from tests.support.stack import Stack
from tests.support.workflows import body_of, flow_of, listed, save_request, workflow_now

FLOWS = [flow_of(note) for note in "abcdefg"]


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """One for all tests here: each has workflows of its own."""
    return shared_stack


async def save_over_rest(stack: Stack, workflow_id: str, flow: bytes) -> tuple[int, int | None]:
    saved = await stack.ok("POST", f"/v1/workflows/{workflow_id}/save", body_of(flow))
    return saved["version"], saved.get("identical_to")


async def save_over_grpc(stack: Stack, workflow_id: str, flow: bytes) -> tuple[int, int | None]:
    saved = (await stack.workflows.SaveWorkflow(save_request(workflow_id, flow), metadata=stack.as_("editor"))).data
    return saved.version, saved.identical_to if saved.HasField("identical_to") else None


async def test_two_hundred_saves_at_once_over_both_faces_get_every_number_once(stack: Stack):
    workflow = await stack.draft()
    faces = (save_over_rest, save_over_grpc)

    saved = await asyncio.gather(
        *(faces[turn % 2](stack, workflow["id"], FLOWS[turn % 7]) for turn in range(200)),
    )

    assert sorted(number for number, _ in saved) == list(range(1, 201))
    assert await listed(stack, workflow["id"]) == list(range(200, 0, -1))
    assert (await workflow_now(stack, workflow["id"]))["next_version"] == 201


async def test_what_a_save_is_identical_to_is_the_same_when_read_later(stack: Stack):
    workflow = await stack.draft()
    digests: dict[int, str] = {}

    saved = await asyncio.gather(
        *(save_over_grpc(stack, workflow["id"], FLOWS[turn % 3]) for turn in range(60)),
    )

    answered = dict(saved)
    for row in await stack.ok("GET", f"/v1/workflows/{workflow['id']}/versions?page_size=500&sort=version"):
        earlier = [number for number, digest in digests.items() if digest == row["digest"]]
        assert answered[row["version"]] == row.get("identical_to") == max(earlier, default=None)
        digests[row["version"]] = row["digest"]
    assert len(digests) == 60


async def test_workflows_count_on_their_own(stack: Stack):
    one, two = await stack.draft("one"), await stack.draft("two")

    await asyncio.gather(
        *(save_over_grpc(stack, workflow["id"], FLOWS[0]) for workflow in (one, two) for _ in range(20)),
    )

    for workflow in (one, two):
        assert await listed(stack, workflow["id"]) == list(range(20, 0, -1))


async def test_saves_and_renames_at_once_lose_neither(stack: Stack):
    workflow, _ = await stack.workflow()
    path = f"/v1/workflows/{workflow['id']}"

    await asyncio.gather(
        *(save_over_grpc(stack, workflow["id"], FLOWS[0]) for _ in range(20)),
        *(stack.ok("PUT", path, {"name": f"name-{number}"}) for number in range(20)),
    )

    now = await workflow_now(stack, workflow["id"])
    assert now["version_count"] == 21
    assert now["name"].startswith("name-")


async def test_first_saves_at_once_release_once(stack: Stack):
    drafts = (await stack.row_counts())["workflow.drafts"]
    workflow = await stack.draft()

    saved = await asyncio.gather(*(save_over_grpc(stack, workflow["id"], FLOWS[0]) for _ in range(10)))

    assert sorted(number for number, _ in saved) == list(range(1, 11))
    assert (await stack.row_counts())["workflow.drafts"] == drafts


async def test_a_save_and_the_deletion_of_its_draft_are_one_or_the_other(stack: Stack):
    for _ in range(10):
        workflow = await stack.draft()
        path = f"/v1/workflows/{workflow['id']}"

        saved, deleted = await asyncio.gather(
            stack.rest("POST", path + "/save", body_of(), token="editor"),
            stack.rest("DELETE", path, token="editor"),
        )

        there = (await stack.rest("GET", path)).status == 200
        # Once saved it is released, and an editor may not delete it.
        assert (saved.status, deleted.status, there) in [(200, 403, True), (404, 200, False)]


async def test_the_answer_to_a_save_is_the_version_without_its_content(stack: Stack):
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


async def test_the_request_id_of_the_caller_is_in_the_answer(stack: Stack):
    workflow = await stack.draft()

    answer = await stack.rest(
        "POST", f"/v1/workflows/{workflow['id']}/save", body_of(), headers={"x-request-id": "mine-7"}
    )

    assert answer.headers["X-Request-Id"] == "mine-7"
