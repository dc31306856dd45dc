"""CreateApp and DeployApp happen once when they are sent twice with the same key."""

import asyncio

import grpc
import pytest

from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from tests.support.deployments import app_now, bodies, history, unknown
from tests.support.stack import Answer, Stack
from tests.support.waiting import eventually

KEY = {"Idempotency-Key": "first try"}
REPLAYED = "Idempotent-Replayed"


@pytest.fixture(params=["create", "deploy"])
async def request_of(request: pytest.FixtureRequest, stack: Stack):
    """The path and the body of a call that creates a deployment."""
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    body = {"workflow_id": workflow["id"], "workflow_version_id": versions[1]["id"]}
    if request.param == "deploy":
        return f"/v1/apps/{app['id']}/deploy", body
    return "/v1/apps", {**body, "name": "another", "project_id": str(stack.people.project)}


async def deployments_and_apps(stack: Stack) -> tuple[int, int]:
    counts = await stack.row_counts()
    return counts["deploy.deployments"], counts["deploy.apps"]


def details(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.error["details"]["reason"]


async def test_a_repeated_deploy_gets_the_first_answer_even_while_the_workflow_service_is_down(
    stack: Stack, request_of
):
    path, body = request_of
    first = await stack.rest("POST", path, body, headers=KEY)
    app_id = first.data.get("app_id", first.data["id"])
    await stack.deploy(app_id, body["workflow_id"], workflow_version_id=body["workflow_version_id"])
    rows = await stack.row_counts()
    await stack.stop_workflow_service()

    again = await stack.rest("POST", path, body, headers=KEY)

    assert (first.status, REPLAYED in first.headers) == (201, False)
    assert (again.status, again.headers[REPLAYED]) == (201, "true")
    assert again.content == first.content
    assert await stack.row_counts() == rows


async def test_a_deploy_with_a_used_key_and_another_body_is_a_409_and_changes_nothing(stack: Stack, request_of):
    path, body = request_of
    await stack.rest("POST", path, body, headers=KEY)
    rows = await stack.row_counts()

    answer = await stack.rest("POST", path, {**body, "workflow_version_id": unknown()}, headers=KEY)

    assert details(answer) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert await stack.row_counts() == rows


async def test_a_failed_deploy_frees_its_idempotency_key(stack: Stack, request_of):
    path, body = request_of
    refused = await stack.rest("POST", path, {**body, "runtime_id": unknown()}, headers=KEY)
    await stack.stop_workflow_service()
    away = await stack.rest("POST", path, body, headers=KEY)
    await stack.start_workflow_service()

    async def is_made() -> bool:
        answer = await stack.rest("POST", path, body, headers=KEY)
        return answer.status == 201 and REPLAYED not in answer.headers

    assert details(refused) == (400, "RUNTIME_NOT_FOUND")
    assert details(away) == (503, "WORKFLOW_SERVICE_UNAVAILABLE")
    await eventually(is_made)
    assert (await stack.rest("POST", path, body, headers=KEY)).headers[REPLAYED] == "true"


async def test_concurrent_equal_requests_with_one_key_deploy_once(stack: Stack, request_of):
    path, body = request_of
    before, apps = await deployments_and_apps(stack)

    answers = await asyncio.gather(*(stack.rest("POST", path, body, headers=KEY) for _ in range(10)))

    made = {answer.content for answer in answers if answer.status == 201}
    others = {details(answer) for answer in answers if answer.status != 201}
    assert len(made) == 1
    assert others <= {(409, "REQUEST_IN_PROGRESS")}
    assert all("Retry-After" in answer.headers for answer in answers if answer.status == 409)
    assert sum(answer.status == 201 and REPLAYED not in answer.headers for answer in answers) == 1
    assert await deployments_and_apps(stack) == (before + 1, apps + (path == "/v1/apps"))


async def test_the_idempotency_key_of_a_deploy_is_free_after_a_day(stack: Stack, request_of):
    path, body = request_of
    first = await stack.rest("POST", path, body, headers=KEY)
    async with stack.database("admin", "deploy") as db:
        await db.execute("UPDATE idempotency_keys SET created_at = created_at - interval '25 hours'")

    next_day = await stack.rest("POST", path, body, headers=KEY)

    assert (next_day.status, REPLAYED in next_day.headers) == (201, False)
    assert next_day.data["id"] != first.data["id"]


async def test_each_deploy_without_an_idempotency_key_happens(stack: Stack, request_of):
    path, body = request_of
    before, _ = await deployments_and_apps(stack)

    answers = [await stack.rest("POST", path, body) for _ in range(2)]

    assert [(answer.status, REPLAYED in answer.headers) for answer in answers] == [(201, False)] * 2
    assert (await deployments_and_apps(stack))[0] == before + 2


async def test_the_idempotency_key_of_a_deploy_is_shared_by_rest_and_grpc(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    request = pb.DeployAppRequest(app_id=app["id"], workflow_id=workflow["id"])
    metadata = stack.as_(idempotency_key=KEY["Idempotency-Key"])
    over_rest = await stack.rest("POST", f"/v1/apps/{app['id']}/deploy", {"workflow_id": workflow["id"]}, headers=KEY)

    call = stack.deploys.DeployApp(request, metadata=metadata)
    answer = await call

    assert answer.data.id == over_rest.data["id"]
    assert dict(await call.trailing_metadata())["idempotent-replayed"] == "true"
    request.reason = "another"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stack.deploys.DeployApp(request, metadata=metadata)
    assert refused.value.code() is grpc.StatusCode.ABORTED
    assert len(await history(stack, app["id"])) == 2


async def test_create_and_deploy_may_use_the_same_idempotency_key(stack: Stack):
    workflow, _ = await stack.workflow()
    new = {"name": "app", "project_id": str(stack.people.project), "workflow_id": workflow["id"]}
    created = await stack.rest("POST", "/v1/apps", new, headers=KEY)
    before = await bodies(stack, created.data["id"])

    deployed = await stack.rest(
        "POST", f"/v1/apps/{created.data['id']}/deploy", {"workflow_id": workflow["id"]}, headers=KEY
    )

    assert (deployed.status, REPLAYED in deployed.headers) == (201, False)
    assert (await app_now(stack, created.data["id"]))["latest_deployment_id"] == deployed.data["id"]
    assert await bodies(stack, created.data["id"]) != before
