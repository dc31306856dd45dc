"""A restore appends a version with the content of an older one. It never rewrites the history."""

import asyncio
from typing import Any

import pytest

from service_kit.ids import new_id
from tests.support.stack import Answer, Stack
from tests.support.workflows import body_of, flow_of, listed, workflow_now

UI = b'{"nodes" : [ 1.0 ]}'
ODD = b'{ "odd" : [9007199254740993, 1E2, "\\u00e9"],\n"nodes":[{"type":"x.Y","id":"a"}] }'


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """Shared by all tests of this module; each test creates its own workflows."""
    return shared_stack


async def odd_and_two(stack: Stack) -> str:
    """The path of a workflow with three versions. The JSON of the first has unusual formatting."""
    path = f"/v1/workflows/{(await stack.draft())['id']}"
    for content in (ODD, flow_of("2"), flow_of("3")):
        await stack.ok("POST", f"{path}/save", body_of(content, UI))
    return path


async def restore(stack: Stack, path: str, ref: str = "1", body: Any = None, **options: Any) -> Answer:
    return await stack.rest("POST", f"{path}/versions/{ref}/restore", body, **options)


async def raw(stack: Stack, path: str, ref: str) -> bytes:
    """The bytes of flow and flow_ui."""
    content = (await stack.rest("GET", f"{path}/versions/{ref}")).content
    return content[content.index(b'"flow":') :]


@pytest.mark.parametrize("by", ["id", "number"])
async def test_a_restored_version_has_the_old_content_byte_for_byte(stack: Stack, by: str):
    path = await odd_and_two(stack)
    old = await stack.ok("GET", f"{path}/versions/1")

    answer = await restore(stack, path, old["id"] if by == "id" else "1", token="editor")

    new = answer.data
    assert (answer.status, new["version"], new["current"], new["identical_to"]) == (201, 4, True, 1)
    assert (new["digest"], new["canvas_digest"]) == (old["digest"], old["canvas_digest"])
    assert "flow" not in new
    assert await raw(stack, path, "4") == await raw(stack, path, "1")
    assert ODD in await raw(stack, path, "4")
    assert answer.headers["ETag"] == (await stack.rest("GET", f"{path}/versions/4")).headers["ETag"]


async def test_a_restore_leaves_earlier_versions_unchanged(stack: Stack):
    path = await odd_and_two(stack)
    before = [await raw(stack, path, ref) for ref in "123"]

    await restore(stack, path)

    assert [await raw(stack, path, ref) for ref in "123"] == before
    assert await listed(stack, path.rpartition("/")[2]) == [4, 3, 2, 1]
    assert (await workflow_now(stack, path.rpartition("/")[2]))["latest_version"]["version"] == 4


@pytest.mark.parametrize(
    ("body", "description"),
    [(None, "Restored from v1."), ({"description": "back again"}, "back again"), ({"description": ""}, "")],
)
async def test_the_description_of_a_restore_names_its_source_by_default(stack: Stack, body: Any, description: str):
    path = await odd_and_two(stack)

    assert (await restore(stack, path, body=body)).data["description"] == description


async def test_an_archived_version_is_restored_and_stays_archived(stack: Stack):
    path = await odd_and_two(stack)
    await stack.ok("POST", f"{path}/versions/1/archive")

    restored = (await restore(stack, path)).data

    assert "archived_at" not in restored
    assert await listed(stack, path.rpartition("/")[2]) == [4, 3, 2]


async def test_the_latest_version_can_be_restored(stack: Stack):
    path = await odd_and_two(stack)

    assert (await restore(stack, path, "latest")).data["identical_to"] == 3


async def test_concurrent_restores_and_saves_get_numbers_without_gaps(stack: Stack):
    path = await odd_and_two(stack)
    workflow_id = path.rpartition("/")[2]

    await asyncio.gather(*(restore(stack, path) for _ in range(10)), *(stack.save(workflow_id) for _ in range(10)))

    assert await listed(stack, workflow_id) == list(range(23, 0, -1))


async def test_a_restore_of_an_unknown_version_is_refused(stack: Stack):
    path = await odd_and_two(stack)
    other = await odd_and_two(stack)
    await stack.ok("DELETE", f"{path}/versions/2")
    draft = f"/v1/workflows/{(await stack.draft())['id']}"
    theirs = (await stack.ok("GET", f"{other}/versions/1"))["id"]
    before = await stack.row_counts()

    for at, ref in ((path, "2"), (path, "9"), (path, theirs), (path, str(new_id())), (draft, "latest"), (draft, "1")):
        answer = await restore(stack, at, ref)
        assert (answer.status, answer.error["details"]["reason"]) == (404, "VERSION_NOT_FOUND"), ref
    too_long = await restore(stack, path, body={"description": "x" * 513})
    assert (too_long.status, "description" in too_long.error["details"]) == (400, True)
    assert (await restore(stack, path, token="viewer")).status == 403
    assert (await restore(stack, path, token="stranger")).status == 404

    assert await stack.row_counts() == before


async def test_a_restore_sent_twice_with_one_key_happens_once(stack: Stack):
    path = await odd_and_two(stack)
    headers = {"Idempotency-Key": str(new_id())}
    first = await restore(stack, path, headers=headers)

    repeat = await restore(stack, path, headers=headers)

    assert (repeat.status, repeat.content) == (first.status, first.content)
    assert repeat.headers["Idempotent-Replayed"] == "true"
    assert await listed(stack, path.rpartition("/")[2]) == [4, 3, 2, 1]
