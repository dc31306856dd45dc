"""A save based on an older version than the latest is refused, and told whose version it would overwrite."""

import asyncio
import json

import pytest

from tests.support.conflicts import UI, assert_names, etag, flow, save, workflow_with_newer_save
from tests.support.stack import Stack
from tests.support.workflows import body_of, listed, release, workflow_now


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """Shared by all tests of this module; each test creates its own workflows."""
    return shared_stack


@pytest.mark.parametrize(
    ("theirs", "ours", "nodes"),
    [
        (flow(a=1), flow(a=2), "a"),
        (flow(a=1, b=1, c=1), flow(a=2, c=1), "a, c"),
        (flow(a=1), flow(b=1), ""),
        (b'{"nodes":[{"id":"a","type":"x.Y","value":0}]}', flow(b=1), "b"),
        (
            b'{"nodes":[{"id":"a","type":"x.Y","value":0,"depends":[{"node":"b"}]},{"id":"b","type":"x.Y","value":0}]}',
            flow(a=1, b=1),
            "a",
        ),
    ],
    ids=["the same node", "two of three nodes", "other nodes", "a removed node", "an edge and a value"],
)
async def test_a_conflict_names_the_winner_and_the_nodes_that_both_sides_changed(
    stack: Stack, theirs: bytes, ours: bytes, nodes: str
):
    workflow_id, first, second = await workflow_with_newer_save(stack, theirs=theirs)
    before = await stack.row_counts()

    by_body = await save(stack, workflow_id, ours, first["id"])
    by_header = await save(stack, workflow_id, ours, headers={"If-Match": f'"{first["id"]}.1"'})

    for answer in (by_body, by_header):
        assert_names(answer, second, nodes)
    assert await stack.row_counts() == before
    assert (await workflow_now(stack, workflow_id))["latest_version"]["id"] == second["id"]


async def test_a_rename_an_archive_or_a_delete_causes_no_conflict(stack: Stack):
    workflow_id, _, second = await workflow_with_newer_save(stack)
    path = f"/v1/workflows/{workflow_id}"
    headers = await etag(stack, path)
    changes = [("PUT", "", {"name": "renamed"}), ("POST", "/versions/1/archive", None), ("DELETE", "/versions/1", None)]
    base = second["id"]

    for number, (method, call, body) in enumerate(changes):
        assert (await stack.rest(method, path + call, body)).status == 200
        assert await etag(stack, path) != headers or call == "/versions/1"
        saved = await save(stack, workflow_id, flow(a=10 + number), headers=headers)
        assert (saved.status, saved.data["version"]) == (200, 3 + number)
        headers, base = await etag(stack, path), saved.data["id"]

    assert (await save(stack, workflow_id, flow(a=20), base)).status == 200


@pytest.mark.parametrize("call", ["save", "release"])
async def test_a_draft_that_nobody_released_is_never_in_conflict(stack: Stack, call: str):
    workflow_id = (await stack.draft())["id"]
    path = f"/v1/workflows/{workflow_id}"
    headers = await etag(stack, path)
    await stack.ok("PUT", path, {"name": "renamed"})

    answer = await stack.rest("POST", f"{path}/{call}", body_of(flow(), UI, name="named"), headers=headers)

    assert answer.status == 200
    assert await listed(stack, workflow_id) == [1]


@pytest.mark.parametrize("call", ["save", "release"])
async def test_a_draft_that_someone_has_released_is_a_conflict(stack: Stack, call: str):
    workflow_id = (await stack.draft())["id"]
    path = f"/v1/workflows/{workflow_id}"
    headers = await etag(stack, path)
    winner = (await save(stack, workflow_id, flow(a=1))).data
    before = await stack.row_counts()

    answer = await stack.rest("POST", f"{path}/{call}", body_of(flow(a=2), UI, name="named"), headers=headers)

    assert_names(answer, winner, "")
    assert await stack.row_counts() == before


@pytest.mark.parametrize(
    "ours",
    [
        flow(a=1),
        b' {"nodes" :\n' + flow(a=1)[9:],
        flow(a=1).replace(b'"id": "a", "type": "x.Y"', b'"type":"x.Y","id":"a"'),
    ],
    ids=["byte for byte", "other white space", "another order of keys"],
)
async def test_saving_the_content_of_the_latest_version_is_no_conflict(stack: Stack, ours: bytes):
    workflow_id, first, _ = await workflow_with_newer_save(stack)

    answer = await save(stack, workflow_id, ours, first["id"])

    assert (answer.status, answer.data["version"], answer.data["identical_to"]) == (200, 3, 2)


@pytest.mark.parametrize("differs", ["flow", "flow_ui"])
async def test_a_save_that_differs_in_flow_or_layout_is_a_conflict(stack: Stack, differs: str):
    workflow_id, first, second = await workflow_with_newer_save(stack, theirs=flow(a=1))
    ours = (flow(a=1.0), UI) if differs == "flow" else (flow(a=1), b'{"nodes": [1]}')  # type: ignore[arg-type]
    body = body_of(*ours, base_version_id=first["id"])

    answer = await stack.rest("POST", f"/v1/workflows/{workflow_id}/save", body)

    assert_names(answer, second, "a")


@pytest.mark.parametrize("many", [2, 20])
async def test_one_of_concurrent_saves_from_one_base_succeeds(stack: Stack, many: int):
    workflow_id, _, base = await workflow_with_newer_save(stack)

    answers = await asyncio.gather(
        *(save(stack, workflow_id, flow(a=number), base["id"]) for number in range(100, 100 + many))
    )

    (winner,) = (answer.data for answer in answers if answer.status == 200)
    for answer in answers:
        if answer.status != 200:
            assert_names(answer, winner, "a")
    assert await listed(stack, workflow_id) == [3, 2, 1]


async def test_a_conflict_shortens_its_list_of_nodes_between_two_ids(stack: Stack):
    ids = [f"{'n' * 30}-{number:03}" for number in range(100)]
    texts = [json.dumps({"nodes": [{"id": name, "type": "x.Y", "v": v} for name in ids]}).encode() for v in range(3)]
    workflow_id = (await stack.draft())["id"]
    base, _ = [(await save(stack, workflow_id, text)).data["id"] for text in texts[:2]]

    answer = await save(stack, workflow_id, texts[2], base)

    *named, rest = answer.error["details"]["nodes"].split(", ")
    assert (named, rest) == (ids[: len(named)], "…")
    assert len(named) > 10


async def test_a_released_workflow_refuses_a_release_based_on_its_latest_version(stack: Stack):
    workflow_id = (await stack.draft())["id"]
    await release(stack, workflow_id)
    headers = await etag(stack, f"/v1/workflows/{workflow_id}")

    answer = await release(stack, workflow_id, headers=headers)

    assert (answer.status, answer.error["message"]) == (400, "Only draft workflows can be released.")
