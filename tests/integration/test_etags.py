"""An ETag changes exactly when the body does."""

from typing import Any

import pytest

from tests.support.stack import Answer, Stack
from tests.support.workflows import OFFICIAL, body_of, release


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """Shared by all tests of this module; each test creates its own workflows."""
    return shared_stack


async def unchanged(stack: Stack, path: str, etag: str) -> bool:
    answer = await stack.rest("GET", path, headers={"If-None-Match": etag})
    assert answer.status in (200, 304)
    assert answer.content == b"" or answer.status == 200
    assert answer.headers["ETag"] == etag or answer.status == 200
    return answer.status == 304


async def assert_etag_tells_the_body(stack: Stack, path: str, before: Answer) -> Answer:
    after = await stack.rest("GET", path)
    assert (after.headers["ETag"] == before.headers["ETag"]) == (after.content == before.content)
    assert await unchanged(stack, path, before.headers["ETag"]) == (after.content == before.content)
    assert await unchanged(stack, path, after.headers["ETag"])
    return after


CHANGES: dict[str, tuple[Any, ...]] = {
    "a rename": ("PUT", "", {"name": "renamed"}),
    "an update without changes": ("PUT", "", {}),
    "a rename to the same name": ("PUT", "", {"name": "renamed", "description": ""}),
    "a save": ("POST", "/save", body_of()),
    "an archived version": ("POST", "/versions/1/archive", None),
    "an archived version again": ("POST", "/versions/1/archive", None),
    "an unarchived version": ("POST", "/versions/1/unarchive", None),
    "an unarchived version again": ("POST", "/versions/1/unarchive", None),
    "another client's release": ("POST", "/release", body_of(name="other"), {}),
    "the official client's release": ("POST", "/release", body_of(name="official"), OFFICIAL),
    "the official client's second release": ("POST", "/release", body_of(name="again"), OFFICIAL),
    "a refused archive": ("POST", "/versions/latest/archive", None),
}


async def test_every_etag_of_a_workflow_changes_exactly_when_its_body_does(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    root = f"/v1/workflows/{workflow['id']}"
    paths = [root, f"{root}/versions/{versions[0]['id']}", f"{root}/versions/{versions[1]['id']}", f"{root}/versions"]
    paths.append(f"{root}/versions/latest")
    last = {path: await stack.rest("GET", path) for path in paths}
    changed: dict[str, list[str]] = {path: [] for path in paths}

    for change, (method, call, body, *headers) in CHANGES.items():
        await stack.rest(method, root + call, body, headers=dict(*headers))
        for path in paths:
            now = await assert_etag_tells_the_body(stack, path, last[path])
            if now.content != last[path].content:
                changed[path].append(change)
            last[path] = now

    renames = ["a rename", "the official client's release"]
    archives = ["an archived version", "an unarchived version"]
    assert changed[root] == sorted([*renames, "a save", *archives], key=list(CHANGES).index)
    assert changed[paths[1]] == archives
    assert changed[paths[2]] == ["a save"]  # the version is no longer current
    assert changed[f"{root}/versions"] == ["a save", *archives]


async def test_a_draft_has_an_etag_too(stack: Stack):
    draft = await stack.draft()
    path = f"/v1/workflows/{draft['id']}"
    before = await stack.rest("GET", path)

    await release(stack, draft["id"])

    after = await assert_etag_tells_the_body(stack, path, before)
    assert after.content != before.content


@pytest.mark.parametrize(
    ("method", "call", "body", "read"),
    [
        ("PUT", "", {"name": "b"}, ""),
        ("POST", "/save", body_of(), "/versions/latest"),
        ("POST", "/release", body_of(name="b"), ""),
        ("POST", "/versions/1/archive", None, "/versions/1"),
        ("POST", "/versions/1/unarchive", None, "/versions/1"),
    ],
)
async def test_the_etag_of_a_change_equals_the_etag_of_the_next_read(
    stack: Stack, method: str, call: str, body: object, read: str
):
    workflow = await stack.draft()
    if "versions" in call:
        for _ in range(2):
            await stack.save(workflow["id"])
    root = f"/v1/workflows/{workflow['id']}"

    answer = await stack.rest(method, root + call, body)

    assert answer.status == 200
    assert (await stack.rest("GET", root + read)).headers["ETag"] == answer.headers["ETag"]


async def test_a_created_draft_answers_with_its_etag(stack: Stack):
    body = body_of(name="new", project_id=str(stack.people.project))

    created = await stack.rest("POST", "/v1/workflows", body)

    assert await unchanged(stack, f"/v1/workflows/{created.data['id']}", created.headers["ETag"])


async def test_the_etag_of_a_workflow_consists_of_its_latest_version_and_its_revision(stack: Stack):
    workflow, versions = await stack.workflow()

    etag = (await stack.rest("GET", f"/v1/workflows/{workflow['id']}")).headers["ETag"]

    version_id, _, revision = etag.strip('"').partition(".")
    assert version_id == versions[0]["id"]
    assert revision.isdigit()
