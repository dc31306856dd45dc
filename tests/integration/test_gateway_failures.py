"""How failures of services and errors of callers are answered over HTTP."""

import asyncio
import json

import grpc
import pytest

from service_kit.calls import HUNG_UP_SECONDS
from service_kit.errors import (
    Aborted,
    FailedPrecondition,
    InvalidFields,
    ProjectNotFound,
    ResourceExhausted,
    ServiceError,
    Unauthenticated,
)
from tests.support.observed_services import APP, PROJECT, WORKFLOW, running_world

SAVE = f"/v1/workflows/{WORKFLOW}/save"
VERSION = f"/v1/workflows/{WORKFLOW}/versions/latest"
DOCUMENTS = b'{"flow": {}, "flow_ui": {}}'


class VersionIsLatest(FailedPrecondition):
    reason = "VERSION_IS_LATEST"


class FlowTooLarge(ResourceExhausted):
    reason = "FLOW_TOO_LARGE"


@pytest.fixture
async def world():
    async with running_world() as world:
        yield world


async def test_a_failure_of_a_service_is_answered_in_the_error_envelope(world):
    world.observed.failure = VersionIsLatest("Cannot archive the latest version of a workflow.", workflow_id=WORKFLOW)

    answer = await world.post(SAVE, DOCUMENTS)

    assert answer.status == 400
    assert answer.json == {
        "error": {
            "code": "bad_request",
            "message": "Cannot archive the latest version of a workflow.",
            "details": {"workflow_id": WORKFLOW, "reason": "VERSION_IS_LATEST"},
        }
    }


async def test_wrong_fields_named_by_a_service_are_in_the_error_envelope(world):
    world.observed.failure = InvalidFields({"name": "cannot be blank", "flow.nodes[0].id": "is required"})

    answer = await world.post(SAVE, DOCUMENTS)

    assert answer.details == {
        "name": "cannot be blank",
        "flow.nodes[0].id": "is required",
        "reason": "INVALID_REQUEST",
    }


async def test_a_malformed_id_in_a_path_is_a_404(world):
    world.observed.failure = InvalidFields({"workflow_id": "must be a UUID"})

    answer = await world.get("/v1/workflows/nope/versions/latest")

    assert (answer.status, answer.error["code"]) == (404, "not_found")
    assert answer.details == {"workflow_id": "must be a UUID", "reason": "INVALID_REQUEST"}


async def test_a_malformed_id_in_a_path_is_a_404_whatever_else_is_wrong(world):
    answer = await world.post("/v1/apps/nope/deploy", {"workflow_id": 7})

    assert answer.status == 404


async def test_a_malformed_id_in_a_query_is_a_400(world):
    world.observed.failure = InvalidFields({"project_id": "must be a UUID"})

    answer = await world.get("/v1/workflows?project_id=nope")

    assert (answer.status, answer.error["code"]) == (400, "bad_request")


async def test_a_project_that_the_caller_cannot_see_is_a_404(world):
    world.observed.failure = ProjectNotFound(PROJECT)

    answer = await world.get(VERSION)

    assert answer.status == 404
    assert answer.details["reason"] == "PROJECT_NOT_FOUND"


async def test_a_refused_token_is_a_401_with_www_authenticate(world):
    world.observed.failure = Unauthenticated("The token is not known.")

    answer = await world.get(VERSION)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.details["reason"] == "TOKEN_INVALID"


async def test_a_flow_over_the_limit_of_the_service_is_a_413(world):
    world.observed.failure = FlowTooLarge("flow is over 16 MiB.")

    answer = await world.post(SAVE, DOCUMENTS)

    assert (answer.status, answer.error["code"]) == (413, "payload_too_large")
    assert "Retry-After" not in answer.headers


async def test_a_temporary_conflict_has_retry_after(world):
    world.observed.failure = Aborted("The first request with this key is still at work.", retry_after=1.5)

    answer = await world.post(SAVE, DOCUMENTS)

    assert (answer.status, answer.headers["Retry-After"]) == (409, "2")


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS])
async def test_an_internal_failure_is_a_500_without_details(world, code):
    world.observed.failure = ServiceError("table versions is on fire", secret="x")
    world.observed.failure.code = code

    answer = await world.get(VERSION)

    assert (answer.status, answer.error["code"]) == (500, "internal")
    assert "details" not in answer.error
    assert b"fire" not in answer.body


async def test_a_call_of_an_rpc_that_the_service_does_not_implement_is_a_500(world):
    answer = await world.get("/v1/me")

    assert answer.status == 500


async def test_a_service_that_is_down_is_a_503_until_it_is_back(world):
    await world.get(VERSION)
    await world.backend.stop()

    down = await world.get(VERSION)
    await world.backend.start()
    back = await until(world, 200)

    assert (down.status, down.error["code"]) == (503, "unavailable")
    assert int(down.headers["Retry-After"]) >= 1
    assert "127.0.0.1" not in down.body.decode()
    assert back.status == 200


async def test_a_call_beyond_its_deadline_is_a_504():
    async with running_world(timeout_seconds=0.2) as world:
        world.observed.hangs = True

        answer = await world.get(VERSION)

        assert (answer.status, answer.error["code"]) == (504, "timeout")
        await asyncio.wait_for(world.observed.canceled.wait(), 5)


async def test_a_caller_of_the_gateway_that_hangs_up_cancels_the_rpc(world):
    world.observed.hangs = True
    call = asyncio.create_task(world.post(SAVE, DOCUMENTS))
    await world.observed.arrived.wait()

    call.cancel()

    await asyncio.wait_for(world.observed.canceled.wait(), 5)


async def test_a_call_that_ends_soon_after_its_caller_hung_up_is_not_canceled(world):
    world.observed.hangs = True
    call = asyncio.create_task(world.post(SAVE, DOCUMENTS))
    await world.observed.arrived.wait()

    call.cancel()
    await asyncio.sleep(0.3)
    world.observed.go_on.set()
    await asyncio.sleep(HUNG_UP_SECONDS)

    assert not world.observed.canceled.is_set()


async def test_an_unknown_path_is_a_404_in_the_error_envelope(world):
    answer = await world.get(f"/v1/apps/{APP}/nothing", x_request_id="call-9")

    assert (answer.status, answer.error["code"]) == (404, "not_found")
    assert answer.headers["X-Request-Id"] == "call-9"


async def test_a_wrong_method_is_a_405_that_lists_the_allowed_methods(world):
    answer = await world.call("PATCH", VERSION)

    assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "DELETE,GET,HEAD"
    assert "X-Request-Id" in answer.headers


async def test_a_too_long_url_is_a_400_in_the_error_envelope(world):
    answer = await world.get("/v1/workflows?name=" + "x" * 10_000)

    assert answer.status == 400
    assert "X-Request-Id" in answer.headers
    assert answer.error == {"code": "bad_request", "message": "The URL or a header is too long."}


async def test_invalid_http_is_a_400_in_the_error_envelope(world):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(world.url.rpartition(":")[2]))
    writer.write(b"EHLO example.org\r\n\r\n")

    head, _, body = (await reader.read()).partition(b"\r\n\r\n")

    assert head.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
    assert b"X-Request-I" in head
    assert json.loads(body)["error"]["code"] == "bad_request"
    writer.close()


async def until(world, status: int):
    for _ in range(100):
        answer = await world.get(VERSION)
        if answer.status == status:
            break
        await asyncio.sleep(0.05)
    return answer
