"""A fork copies a version or a canvas into a new, independent workflow."""

from typing import Any

import pytest

from service_kit.access.file import hash_token
from service_kit.ids import new_id
from tests.support.stack import FLOW, FLOW_UI, Answer, Stack, running_stack
from tests.support.workflows import body_of, flow_of, listed, release, workflow_now

OTHER_UI = b'{"nodes": [ 1 ]}'


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """Shared by all tests of this module; each test creates its own workflows."""
    return shared_stack


async def fork(stack: Stack, workflow_id: str, body: Any = None, **options: Any) -> Answer:
    sent = body if isinstance(body, bytes) else {"name": "fork", **(body or {})}
    return await stack.rest("POST", f"/v1/workflows/{workflow_id}/fork", sent, **options)


async def three_versions(stack: Stack) -> tuple[str, list[Any]]:
    """A workflow with three different versions."""
    workflow_id = (await stack.draft())["id"]
    path = f"/v1/workflows/{workflow_id}/save"
    return workflow_id, [await stack.ok("POST", path, body_of(flow_of(f"{n}"), OTHER_UI)) for n in (1, 2, 3)]


async def content(stack: Stack, workflow_id: str) -> bytes:
    """The bytes of flow and flow_ui of the latest version, or of the canvas of a draft."""
    raw = (await stack.rest("GET", f"/v1/workflows/{workflow_id}")).content
    return raw[raw.index(b'"flow":') : raw.index(b',"created_at"', raw.index(b'"flow":'))]


def as_sent(flow: bytes, flow_ui: bytes) -> bytes:
    return b'"flow":' + flow + b',"flow_ui":' + flow_ui


@pytest.mark.parametrize("archived", [False, True])
async def test_a_version_is_forked_byte_for_byte(stack: Stack, archived: bool):
    workflow_id, versions = await three_versions(stack)
    if archived:
        await stack.ok("POST", f"/v1/workflows/{workflow_id}/versions/1/archive")

    answer = await fork(stack, workflow_id, {"workflow_version_id": versions[0]["id"], "description": "of its own"})

    assert answer.status == 201
    assert answer.data == await workflow_now(stack, answer.data["id"])
    assert await content(stack, answer.data["id"]) == as_sent(flow_of("1"), OTHER_UI)
    version = await stack.ok("GET", f"/v1/workflows/{answer.data['id']}/versions/1")
    assert (version["digest"], version["canvas_digest"]) == (versions[0]["digest"], versions[0]["canvas_digest"])
    assert version["description"] == answer.data["description"] == "of its own"


async def test_a_fork_without_a_version_or_a_canvas_copies_the_latest_version(stack: Stack):
    workflow_id, _ = await three_versions(stack)

    answer = await fork(stack, workflow_id)

    assert await content(stack, answer.data["id"]) == as_sent(flow_of("3"), OTHER_UI)


@pytest.mark.parametrize("of", ["a draft", "a released workflow"])
async def test_an_unsaved_canvas_is_forked(stack: Stack, of: str):
    workflow_id = (await stack.draft())["id"] if of == "a draft" else (await three_versions(stack))[0]

    answer = await fork(stack, workflow_id, body_of(flow_of("unsaved"), OTHER_UI, name="fork"))

    assert await content(stack, answer.data["id"]) == as_sent(flow_of("unsaved"), OTHER_UI)


async def test_the_canvas_of_a_draft_is_forked_and_the_draft_stays_a_draft(stack: Stack):
    body = body_of(name="source", project_id=str(stack.people.project))
    draft = await stack.ok("POST", "/v1/workflows", body)

    answer = await fork(stack, draft["id"])

    assert answer.data["status"] == "released"
    assert await content(stack, answer.data["id"]) == as_sent(FLOW.strip(), FLOW_UI.strip())
    assert await workflow_now(stack, draft["id"]) == draft


async def test_a_fork_begins_at_v1_without_the_history_of_its_source(stack: Stack):
    workflow_id, versions = await three_versions(stack)

    forked = (await fork(stack, workflow_id, {"workflow_version_id": versions[2]["id"]})).data

    assert forked["id"] != workflow_id
    assert (forked["name"], forked["description"], forked["status"]) == ("fork", "", "released")
    assert (forked["version_count"], forked["next_version"], forked["latest_version"]["label"]) == (1, 2, "v1")
    assert await listed(stack, forked["id"]) == [1]
    version = await stack.ok("GET", f"/v1/workflows/{forked['id']}/versions/latest")
    assert ("identical_to" in version, version["description"]) == (False, "")
    assert (version["workflow_id"], version["id"] in {row["id"] for row in versions}) == (forked["id"], False)
    for ref in versions:
        answer = await stack.rest("GET", f"/v1/workflows/{forked['id']}/versions/{ref['id']}")
        assert answer.status == 404


async def test_a_fork_leaves_its_source_untouched(stack: Stack):
    workflow_id, versions = await three_versions(stack)
    paths = ["", "/versions?include_archived=true", "/audit-events"]
    before = [(await stack.rest("GET", f"/v1/workflows/{workflow_id}{path}")).content for path in paths]

    for body in ({}, {"workflow_version_id": versions[0]["id"]}, body_of(flow_of("x"), OTHER_UI, name="fork")):
        forked = (await fork(stack, workflow_id, body)).data
        await stack.save(forked["id"])
        await stack.ok("DELETE", f"/v1/workflows/{forked['id']}")

    assert [(await stack.rest("GET", f"/v1/workflows/{workflow_id}{path}")).content for path in paths] == before


async def test_a_fork_refuses_another_release(stack: Stack):
    forked = (await fork(stack, (await stack.draft())["id"])).data

    answer = await release(stack, forked["id"])

    assert (answer.status, answer.error["details"]["reason"]) == (400, "WORKFLOW_NOT_DRAFT")


async def test_a_fork_is_created_in_the_named_project(stack: Stack):
    workflow_id, versions = await three_versions(stack)
    body = {"project_id": str(stack.people.staged), "workflow_version_id": versions[0]["id"]}

    forked = (await fork(stack, workflow_id, body, token="editor")).data

    assert forked["project_id"] == str(stack.people.staged)
    assert await content(stack, forked["id"]) == as_sent(flow_of("1"), OTHER_UI)


@pytest.mark.parametrize(
    ("source", "target", "status"),
    [
        ("viewer", "editor", 201),
        ("editor", "editor", 201),
        ("viewer", None, 403),
        ("editor", "viewer", 403),
        ("editor", "nobody", 404),
        ("nobody", "editor", 404),
    ],
)
async def test_a_fork_needs_a_viewer_of_the_source_and_an_editor_of_the_target(
    unstarted: Stack, source: str, target: str | None, status: int
):
    people = unstarted.people
    declared = people.declared()
    held = {people.project: source, people.staged: target or "editor"}
    roles = {str(project): role for project, role in held.items() if role != "nobody"}
    token = {"id": "tok_forker", "user": str(people.user), "sha256": hash_token(people.secret("forker"))}
    people.write(declared | {"tokens": [*declared["tokens"], token | {"roles": roles}]})
    async with running_stack(unstarted) as stack:
        workflow_id, _ = await three_versions(stack)
        before = await stack.row_counts()
        body = {"project_id": str(people.staged)} if target else {}

        answer = await fork(stack, workflow_id, body, token="forker")

        assert answer.status == status
        assert (await stack.row_counts() == before) is (status != 201)


async def test_a_wrong_field_of_a_fork_is_named(stack: Stack):
    workflow_id, versions = await three_versions(stack)
    _, others = await three_versions(stack)
    await stack.ok("DELETE", f"/v1/workflows/{workflow_id}/versions/2")
    before = await stack.row_counts()
    one = {"workflow_version_id": versions[0]["id"]}
    canvas = {"flow": {"nodes": [{"id": "a", "type": "x.Y"}]}, "flow_ui": {}}
    no_version = ("VERSION_NOT_FOUND", {"workflow_version_id"})
    bodies: list[tuple[dict[str, Any], tuple[str, set[str]]]] = [
        ({"workflow_version_id": str(new_id())}, no_version),
        ({"workflow_version_id": others[0]["id"]}, no_version),
        ({"workflow_version_id": versions[1]["id"]}, no_version),
        ({"workflow_version_id": "x"}, ("INVALID_REQUEST", {"workflow_version_id"})),
        (one | canvas, ("INVALID_REQUEST", {"flow", "flow_ui"})),
        ({"flow": canvas["flow"]}, ("INVALID_REQUEST", {"flow_ui"})),
        ({"flow_ui": {}}, ("INVALID_REQUEST", {"flow"})),
        (one | {"name": "No Slug"}, ("INVALID_REQUEST", {"name"})),
        (one | {"description": "x" * 513}, ("INVALID_REQUEST", {"description"})),
        ({"flow": {"nodes": []}, "flow_ui": []}, ("INVALID_FLOW", {"flow.nodes", "flow_ui"})),
    ]

    for body, (reason, fields) in bodies:
        answer = await fork(stack, workflow_id, body)
        assert (answer.status, answer.error["details"]["reason"]) == (400, reason), body
        assert answer.error["details"].keys() - {"reason"} == fields, body

    assert await stack.row_counts() == before


async def test_a_fork_sent_twice_with_one_key_happens_once(stack: Stack):
    workflow_id, _ = await three_versions(stack)
    headers = {"Idempotency-Key": str(new_id())}
    first = await fork(stack, workflow_id, headers=headers)
    before = await stack.row_counts()

    repeat = await fork(stack, workflow_id, headers=headers)

    assert (repeat.status, repeat.content) == (first.status, first.content)
    assert await stack.row_counts() == before
