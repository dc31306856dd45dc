"""A create, save or release happens once when it is sent twice with one key."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from flowpin_cli.machine.health import until
from service_kit.access.file import hash_token
from service_kit.ids import new_id
from tests.support.refusals import refusal
from tests.support.stack import Stack, running_stack
from tests.support.workflows import HELD, OFFICIAL, body_of, flow_of, listed, save_request, workflow_now

CALLS = ["create", "save", "release"]


async def path_and_body(stack: Stack, call: str) -> tuple[str, bytes]:
    if call == "create":
        return "/v1/workflows", body_of(name="new", project_id=str(stack.people.project))
    workflow = await stack.draft()
    return f"/v1/workflows/{workflow['id']}/{call}", body_of(name="named")


def with_key(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


@pytest.fixture
def keyed() -> dict[str, str]:
    """The headers of this test's own key."""
    return with_key(str(new_id()))


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """Shared by all tests of this module; each test has its own key and workflows."""
    return shared_stack


@asynccontextmanager
async def writes_held(stack: Stack) -> AsyncIterator[None]:
    """Block all writes to the table workflows until the block ends."""
    async with stack.database("admin", "workflow") as admin, admin.transaction():
        await admin.execute("LOCK TABLE workflows IN EXCLUSIVE MODE")
        yield


async def is_waiting(stack: Stack) -> bool:
    async with stack.database("admin", "workflow") as admin:
        return bool(await admin.fetchval(HELD))


@pytest.mark.parametrize("call", CALLS)
async def test_a_repeat_with_its_key_gets_the_first_answer_and_creates_nothing(
    stack: Stack, keyed: dict[str, str], call: str
):
    path, body = await path_and_body(stack, call)
    first = await stack.rest("POST", path, body, headers=keyed)
    before = await stack.row_counts()

    repeat = await stack.rest("POST", path, body, headers=keyed)

    assert (repeat.status, repeat.content) == (first.status, first.content)
    assert repeat.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert await stack.row_counts() == before


async def test_a_repeat_gets_the_first_answer_after_later_changes_of_the_workflow(stack: Stack, keyed: dict[str, str]):
    path, body = await path_and_body(stack, "save")
    first = await stack.rest("POST", path, body, headers=keyed)
    await stack.rest("POST", path, body)

    repeat = await stack.rest("POST", path, body, headers=keyed)

    assert repeat.content == first.content


async def test_a_repeated_save_without_a_key_is_another_version(stack: Stack):
    path, body = await path_and_body(stack, "save")

    numbers = [(await stack.ok("POST", path, body))["version"] for _ in range(2)]

    assert numbers == [1, 2]


@pytest.mark.parametrize("call", CALLS)
async def test_a_used_idempotency_key_with_another_body_is_a_conflict(stack: Stack, keyed: dict[str, str], call: str):
    path, body = await path_and_body(stack, call)
    await stack.ok("POST", path, body, headers=keyed)
    before = await stack.row_counts()

    answer = await stack.rest("POST", path, body.replace(b'"flow_ui":', b'"flow_ui": '), headers=keyed)
    other = await stack.rest("POST", path, body.replace(b'"nodes"', b'"Nodes":1,"nodes"', 1), headers=keyed)

    assert answer.headers["Idempotent-Replayed"] == "true"  # around a document, white space is not part of it
    assert (other.status, other.error["code"]) == (409, "conflict")
    assert other.error["details"]["reason"] == "IDEMPOTENCY_KEY_REUSED"
    assert await stack.row_counts() == before


@pytest.mark.parametrize("call", CALLS)
async def test_a_repeated_save_is_told_to_wait_while_the_first_is_in_progress(
    stack: Stack, keyed: dict[str, str], call: str
):
    path, body = await path_and_body(stack, call)

    async with writes_held(stack):
        first = asyncio.create_task(stack.rest("POST", path, body, headers=keyed))
        assert await until(lambda: is_waiting(stack), 5)
        second = await stack.rest("POST", path, body, headers=keyed)
    done = await first
    third = await stack.rest("POST", path, body, headers=keyed)

    assert done.status < 300
    assert (second.status, second.error["details"]["reason"]) == (409, "REQUEST_IN_PROGRESS")
    assert int(second.headers["Retry-After"]) >= 1
    assert third.content == done.content
    assert third.headers["Idempotent-Replayed"] == "true"


async def test_concurrent_calls_with_one_key_happen_once(stack: Stack, keyed: dict[str, str]):
    path, body = await path_and_body(stack, "save")

    answers = await asyncio.gather(*(stack.rest("POST", path, body, headers=keyed) for _ in range(20)))

    done = [answer for answer in answers if answer.status == 200]
    assert done
    assert {answer.status for answer in answers} <= {200, 409}
    assert {answer.data["version"] for answer in done} == {1}
    assert sum("Idempotent-Replayed" not in answer.headers for answer in done) == 1
    assert await listed(stack, path.split("/")[3]) == [1]


@pytest.mark.parametrize("call", CALLS)
async def test_a_failed_call_frees_its_idempotency_key(stack: Stack, keyed: dict[str, str], call: str):
    path, body = await path_and_body(stack, call)
    # A save finds out about the name within its transaction, the others before.
    blank = body_of(name="", project_id=str(stack.people.project))
    failed = await stack.rest("POST", path, blank, headers=keyed)

    answer = await stack.rest("POST", path, body, headers=keyed)

    assert failed.status == 400
    assert answer.status < 300
    assert "Idempotent-Replayed" not in answer.headers


async def test_a_refused_release_frees_its_idempotency_key(stack: Stack, keyed: dict[str, str]):
    workflow = await stack.draft()
    path = f"/v1/workflows/{workflow['id']}/release"
    await stack.save(workflow["id"], "saved")
    refused = await stack.rest("POST", path, body_of(name="a"), headers=keyed | OFFICIAL)
    await stack.ok("POST", f"/v1/workflows/{workflow['id']}/save", body_of())

    answer = await stack.rest("POST", path, body_of(name="a"), headers=keyed | OFFICIAL)

    assert refused.status == 400
    assert (answer.status, answer.data["name"]) == (200, "a")
    assert "Idempotent-Replayed" not in answer.headers


async def test_an_idempotency_key_is_separate_for_each_person_project_and_rpc(unstarted: Stack, keyed: dict[str, str]):
    people = unstarted.people
    declared = people.declared()
    grace = {"id": str(new_id()), "email": "grace@acme.test"}
    token = {"id": "tok_grace", "user": grace["id"], "sha256": hash_token(people.secret("grace"))}
    declared["users"].append(grace)
    declared["tokens"].append({**token, "roles": {str(people.project): "editor"}})
    people.write(declared)
    async with running_stack(unstarted) as stack:
        here, there = (body_of(name="new", project_id=str(project)) for project in (people.project, people.staged))
        workflow = await stack.draft()
        path = f"/v1/workflows/{workflow['id']}/save"
        first = await stack.rest("POST", "/v1/workflows", here, headers=keyed)

        answers = [
            await stack.rest("POST", "/v1/workflows", here, token="grace", headers=keyed),
            await stack.rest("POST", "/v1/workflows", there, headers=keyed),
            await stack.rest("POST", path, body_of(), headers=keyed),
            await stack.rest("POST", "/v1/workflows", here, headers=with_key("another")),
        ]
        # Another token of the same person is the same person.
        same = await stack.rest("POST", "/v1/workflows", here, token="editor", headers=keyed)

    assert all(answer.status < 300 and "Idempotent-Replayed" not in answer.headers for answer in answers)
    assert same.content == first.content


async def test_a_call_over_rest_repeated_over_grpc_is_a_repeat(stack: Stack, keyed: dict[str, str]):
    workflow = await stack.draft()
    request = save_request(workflow["id"], flow_of("x"), b"{}")
    first = await stack.ok("POST", f"/v1/workflows/{workflow['id']}/save", body_of(flow_of("x"), b"{}"), headers=keyed)

    call = stack.workflows.SaveWorkflow(request, metadata=stack.as_(idempotency_key=keyed["Idempotency-Key"]))

    assert (await call).data.id == first["id"]
    assert (await call.trailing_metadata())["idempotent-replayed"] == "true"


@pytest.mark.parametrize(("hours", "replayed"), [(23, True), (25, False)])
async def test_an_idempotency_key_is_kept_for_24_hours(stack: Stack, keyed: dict[str, str], hours: int, replayed: bool):
    path, body = await path_and_body(stack, "save")
    await stack.ok("POST", path, body, headers=keyed)
    async with stack.database("admin", "workflow") as admin:
        await admin.execute("UPDATE idempotency_keys SET created_at = created_at - make_interval(hours => $1)", hours)

    answer = await stack.rest("POST", path, body, headers=keyed)

    assert ("Idempotent-Replayed" in answer.headers) is replayed
    assert answer.data["version"] == (1 if replayed else 2)
    again = await stack.rest("POST", path, body, headers=keyed)
    assert again.content == answer.content
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("call", ["save", "release"])
async def test_a_repeat_needs_the_same_role_as_the_first_call(stack: Stack, keyed: dict[str, str], call: str):
    path, body = await path_and_body(stack, call)
    await stack.ok("POST", path, body, token="editor", headers=keyed)

    viewer = await stack.rest("POST", path, body, token="viewer", headers=keyed)
    stranger = await stack.rest("POST", path, body, token="stranger", headers=keyed)

    assert (viewer.status, stranger.status) == (403, 404)


@pytest.mark.parametrize("key", ["", "x" * 256, "é"])
async def test_a_malformed_idempotency_key_is_refused_over_rest(shared_stack: Stack, key: str):
    workflow = await shared_stack.draft()

    answer = await shared_stack.rest("POST", f"/v1/workflows/{workflow['id']}/save", body_of(), headers=with_key(key))

    assert (answer.status, answer.error["code"]) == (400, "bad_request")
    assert (await workflow_now(shared_stack, workflow["id"]))["status"] == "draft"


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_malformed_idempotency_key_is_refused_over_grpc(shared_stack: Stack, key: str):
    workflow = await shared_stack.draft()

    metadata = shared_stack.as_(idempotency_key=key)
    error = await refusal(shared_stack.workflows.SaveWorkflow(save_request(workflow["id"]), metadata=metadata))

    assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
