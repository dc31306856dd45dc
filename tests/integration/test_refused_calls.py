"""Refused calls leave no memory in a service without garbage collection, and few lines in its log."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import asyncpg
import grpc
import pytest

from service_kit.errors import ServiceError
from service_kit.ids import new_id
from service_kit.pb.flowpin.batch.v1 import batch_pb2
from service_kit.pb.flowpin.batch.v1.batch_pb2_grpc import BatchServiceStub
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.pb.flowpin.workflow.v1.workflow_pb2_grpc import WorkflowServiceStub
from tests.support.service_process import ServiceProcess, workflow_service_process
from tests.support.stack import FLOW, FLOW_UI, Stack, fresh_stack
from tests.support.waiting import eventually
from tests.support.workflows import flow_of, save_request

pytestmark = pytest.mark.slow

SAVE = "/flowpin.workflow.v1.WorkflowService/SaveWorkflow"
MB = 1 << 20
HALF = 15 * MB
"""A document that is not too large by itself; a request has two."""
TIMES = 6
MOST_GROWTH_MB = 60
NOBODY = (("authorization", "Bearer dyn_pat_nobody"),)


@pytest.fixture(scope="module")
async def stack(database_urls: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with fresh_stack(database_urls, tmp_path_factory.mktemp("refused")) as unstarted:
        yield unstarted


@pytest.fixture(scope="module")
async def service(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServiceProcess]:
    async with workflow_service_process(stack, tmp_path_factory.mktemp("service")) as process:
        yield process


@pytest.fixture(scope="module")
async def channel(service: ServiceProcess) -> AsyncIterator[grpc.aio.Channel]:
    unlimited = [("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{service.port}", options=unlimited) as channel:
        yield channel


@pytest.fixture(scope="module")
async def workflow_id(stack: Stack, channel: grpc.aio.Channel) -> str:
    stub = WorkflowServiceStub(channel)
    documents = {"flow": pb.Json(utf8=FLOW), "flow_ui": pb.Json(utf8=FLOW_UI)}
    draft = pb.CreateWorkflowRequest(project_id=str(stack.people.project), name="flow", **documents)
    workflow_id = (await stub.CreateWorkflow(draft, metadata=stack.as_())).data.id
    await stub.SaveWorkflow(save_request(workflow_id), metadata=stack.as_())
    return workflow_id


def padded(workflow_id: str, size: int = HALF, **fields: Any) -> bytes:
    return save_request(workflow_id, flow_of("x" * size), flow_of("y" * size), **fields).SerializeToString()


async def ended(call: Awaitable[Any]) -> str:
    """The code of a call, and the reason if there is one."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        failure = ServiceError.from_rpc_error(error)
        return f"{failure.code.name} {failure.reason}"
    except asyncio.CancelledError:
        return "CANCELLED"
    return "OK"


async def alone(channel: grpc.aio.Channel, message: bytes, metadata: Any, seconds: float = 60) -> str:
    return await ended(channel.unary_unary(SAVE)(message, metadata=metadata, timeout=seconds))


async def in_a_batch(channel: grpc.aio.Channel, message: bytes, metadata: Any, seconds: float = 60) -> str:
    """Send the call as the only call of a batch."""
    call = batch_pb2.Call(method=SAVE, message=message, metadata=dict(metadata[1:]))
    sent = BatchServiceStub(channel).SendBatch(
        batch_pb2.SendBatchRequest(calls=[call]), metadata=metadata[:1], timeout=seconds
    )
    answers: list[batch_pb2.Answer] = []

    async def read() -> None:
        async for part in sent:
            answers.extend(part.answers)

    outcome = await ended(read())
    if outcome != "OK":
        return outcome
    failure = ServiceError.from_status(answers[0].error)
    return f"{failure.code.name} {failure.reason}"


async def assert_no_growth(service: ServiceProcess, before: float) -> None:
    async def is_near() -> bool:
        return service.resident_mb() < before + MOST_GROWTH_MB

    await eventually(is_near, 5)


@pytest.mark.parametrize("send", [alone, in_a_batch])
async def test_a_call_without_a_valid_token_is_not_read(
    service: ServiceProcess, channel: grpc.aio.Channel, workflow_id: str, send: Any
):
    message, before = padded(workflow_id), service.resident_mb()

    outcomes = {await send(channel, message, NOBODY) for _ in range(40)}

    assert outcomes == {"UNAUTHENTICATED TOKEN_INVALID"}
    assert service.resident_mb() < before + MOST_GROWTH_MB


REFUSED = {
    "fields": ("INVALID_ARGUMENT INVALID_REQUEST", {"workflow_id": "nope"}),
    "too large": ("RESOURCE_EXHAUSTED FLOW_TOO_LARGE", {"size": HALF + 2 * MB}),
    "not found": ("NOT_FOUND WORKFLOW_NOT_FOUND", {"workflow_id": str(new_id())}),
    "base": ("INVALID_ARGUMENT BASE_NOT_FOUND", {"base_version_id": str(new_id())}),
}


@pytest.mark.parametrize("send", [alone, in_a_batch])
@pytest.mark.parametrize("why", REFUSED)
async def test_a_refused_call_leaves_no_memory_in_use(
    stack: Stack, service: ServiceProcess, channel: grpc.aio.Channel, workflow_id: str, why: str, send: Any
):
    expected, fields = REFUSED[why]
    message, before = padded(**{"workflow_id": workflow_id, **fields}), service.resident_mb()

    outcomes = {await send(channel, message, stack.as_()) for _ in range(TIMES)}

    assert outcomes == {expected}
    await assert_no_growth(service, before)


@pytest.mark.parametrize("send", [alone, in_a_batch])
async def test_a_malformed_call_leaves_no_memory_in_use(
    stack: Stack, service: ServiceProcess, channel: grpc.aio.Channel, send: Any
):
    before, logged = service.resident_mb(), service.log_bytes()

    outcomes = {await send(channel, b"\xff" * (30 * MB), stack.as_()) for _ in range(TIMES)}

    assert outcomes == {"INVALID_ARGUMENT INVALID_REQUEST"}
    assert service.log_bytes() - logged < 1000 * TIMES  # a line each, and no traceback
    await assert_no_growth(service, before)


@pytest.fixture
async def locked(stack: Stack, workflow_id: str) -> AsyncIterator[asyncpg.Connection]:
    """Lock the workflow, so that its saves wait."""
    async with stack.database("admin", "workflow") as db, db.transaction():
        await db.execute("SELECT FROM workflows WHERE id = $1 FOR UPDATE", workflow_id)
        yield db


@pytest.mark.usefixtures("locked")
@pytest.mark.parametrize("send", [alone, in_a_batch])
async def test_a_call_whose_caller_hangs_up_leaves_no_memory_in_use(
    stack: Stack, service: ServiceProcess, channel: grpc.aio.Channel, workflow_id: str, send: Any
):
    message, before = padded(workflow_id, size=8 * MB), service.resident_mb()

    async def hang_up() -> str:
        call = asyncio.ensure_future(send(channel, message, stack.as_()))
        await asyncio.sleep(1)
        call.cancel()
        return str(await call)

    outcomes = Counter([await hang_up() for _ in range(TIMES)])
    outcomes.update([await send(channel, message, stack.as_(), seconds=1) for _ in range(TIMES)])

    assert outcomes == {"CANCELLED": TIMES, "DEADLINE_EXCEEDED DEADLINE_EXCEEDED": TIMES}
    await assert_no_growth(service, before)


async def test_a_batch_without_a_valid_token_is_logged_as_one_line(service: ServiceProcess, channel: grpc.aio.Channel):
    call = batch_pb2.Call(method=SAVE, metadata={"x-request-id": "r" * 8000})
    request = batch_pb2.SendBatchRequest(calls=[call] * 64)
    await asyncio.sleep(1)  # the budget of lines is full again
    before = service.log_bytes()
    stub = BatchServiceStub(channel)

    for _ in range(10):
        refused = stub.SendBatch(request, metadata=NOBODY, compression=grpc.Compression.Gzip)
        assert await ended(refused.read()) == "UNAUTHENTICATED TOKEN_INVALID"

    assert [line["code"] for line in service.calls()[-10:]] == ["UNAUTHENTICATED"] * 10
    assert service.log_bytes() - before < 10 * 400


async def test_the_log_lines_of_callers_without_a_token_are_limited(service: ServiceProcess, channel: grpc.aio.Channel):
    before = service.log_bytes()
    metadata = (*NOBODY, ("x-request-id", "r" * 4000))
    compressed = 20  # bytes of the headers of each call after the first

    for _ in range(40):
        assert {await ended(channel.unary_unary(SAVE)(b"", metadata=metadata)) for _ in range(50)} == {
            "UNAUTHENTICATED TOKEN_INVALID"
        }

    assert service.log_bytes() - before < 2000 * compressed
