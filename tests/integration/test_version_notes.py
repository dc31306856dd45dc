"""The note of a version can be edited. Its description, number and content never change."""

from typing import Any

import pytest

from tests.support.stack import Answer, Stack


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """Shared by all tests of this module; each test creates its own workflows."""
    return shared_stack


async def note(stack: Stack, workflow_id: str, ref: object, text: Any, token: str = "admin") -> Answer:
    path = f"/v1/workflows/{workflow_id}/versions/{ref}/note"
    return await stack.rest("PUT", path, {"note": text}, token=token)


async def version(stack: Stack, workflow_id: str, ref: object = 1) -> Any:
    return await stack.ok("GET", f"/v1/workflows/{workflow_id}/versions/{ref}")


NOTED = {"note", "noted_at", "noted_by"}


async def test_writing_editing_and_removing_a_note_changes_nothing_else_of_a_version(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    before = await version(stack, workflow["id"])
    assert not before.keys() & NOTED

    written = await note(stack, workflow["id"], 1, "fails on empty orders")
    edited = await note(stack, workflow["id"], versions[0]["id"], "fails on empty orders, fixed in v2", token="editor")

    now = await version(stack, workflow["id"])
    assert (written.data["note"], written.data["noted_by"]) == ("fails on empty orders", str(stack.people.user))
    assert (now["note"], now["noted_at"]) == ("fails on empty orders, fixed in v2", edited.data["noted_at"])
    assert now["noted_at"] > written.data["noted_at"]
    assert {key: value for key, value in now.items() if key not in NOTED} == before
    rows = await stack.ok("GET", f"/v1/workflows/{workflow['id']}/versions")
    assert [row.get("note") for row in rows] == [None, "fails on empty orders, fixed in v2"]

    removed = await note(stack, workflow["id"], 1, " \n ")

    assert not removed.data.keys() & NOTED
    assert await version(stack, workflow["id"]) == before


async def test_a_note_changes_the_etag_of_its_version_and_an_equal_note_changes_nothing(stack: Stack):
    workflow, _ = await stack.workflow(saves=1)
    path = f"/v1/workflows/{workflow['id']}/versions/latest"
    before, whole = await stack.rest("GET", path), await stack.rest("GET", f"/v1/workflows/{workflow['id']}")

    written = await note(stack, workflow["id"], "latest", "good")
    rows = await stack.row_counts()
    again = await note(stack, workflow["id"], "latest", "good")

    after = await stack.rest("GET", path, headers={"If-None-Match": before.headers["ETag"]})
    assert (after.status, after.headers["ETag"]) == (200, written.headers["ETag"])
    assert (again.data, again.headers["ETag"]) == (written.data, written.headers["ETag"])
    assert await stack.row_counts() == rows
    same = await stack.rest("GET", f"/v1/workflows/{workflow['id']}")
    assert (same.content, same.headers["ETag"]) == (whole.content, whole.headers["ETag"])
    events = await stack.ok("GET", f"/v1/workflows/{workflow['id']}/audit-events")
    assert [event["action"] for event in events] == ["SetVersionNote", "SaveWorkflow", "CreateWorkflow"]
    assert (events[0]["details"], events[0]["target_id"]) == ({"version": "v1"}, before.data["id"])


async def test_a_note_is_not_copied_to_restores_and_forks(stack: Stack):
    workflow, _ = await stack.workflow(saves=1)
    await note(stack, workflow["id"], 1, "good")

    restored = await stack.ok("POST", f"/v1/workflows/{workflow['id']}/versions/1/restore")
    fork = await stack.ok("POST", f"/v1/workflows/{workflow['id']}/fork", {"name": "fork"})

    assert not restored.keys() & NOTED
    assert not (await version(stack, fork["id"])).keys() & NOTED


@pytest.mark.parametrize("text", ["x" * 2001, "a\0b"])
async def test_an_invalid_note_is_refused_by_name(stack: Stack, text: str):
    workflow, _ = await stack.workflow(saves=1)

    answer = await note(stack, workflow["id"], 1, text)

    assert answer.refusal == (400, "INVALID_REQUEST", {"note"})
    assert "note" not in await version(stack, workflow["id"])


async def test_the_longest_note_in_any_script_is_kept(stack: Stack):
    workflow, _ = await stack.workflow(saves=1)

    assert (await note(stack, workflow["id"], 1, "注" * 2000)).data["note"] == "注" * 2000


async def test_a_note_is_refused_for_an_unknown_version_or_a_viewer(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    await stack.rest("DELETE", f"/v1/workflows/{workflow['id']}/versions/1")

    answers = [
        await note(stack, workflow["id"], 1, "x"),
        await note(stack, workflow["id"], versions[0]["id"], "x"),
        await note(stack, workflow["id"], "@nothing", "x"),
        await note(stack, versions[0]["id"], 1, "x"),
        await note(stack, workflow["id"], 2, "x", token="viewer"),
        await note(stack, workflow["id"], 2, "x", token="stranger"),
    ]

    assert [answer.refusal[:2] for answer in answers] == [
        *[(404, "VERSION_NOT_FOUND")] * 3,
        (404, "WORKFLOW_NOT_FOUND"),
        (403, "ROLE_TOO_SMALL"),
        (404, "WORKFLOW_NOT_FOUND"),
    ]


async def test_an_archived_version_can_get_a_note(stack: Stack):
    workflow, _ = await stack.workflow(saves=2)
    await stack.ok("POST", f"/v1/workflows/{workflow['id']}/versions/1/archive")

    assert (await note(stack, workflow["id"], 1, "archived for a reason")).data["note"] == "archived for a reason"
