"""Calls in a batch are answered as if each were sent alone."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
import grpc
import pytest
from google.rpc import code_pb2
from structlog.testing import capture_logs

from service_kit.channel import open_channel
from service_kit.errors import ServiceError
from service_kit.hotpath.rpc_batches import SEND_BATCH, UNSERVED, RpcBatcher
from service_kit.ids import new_id
from service_kit.pb.flowpin.batch.v1 import batch_pb2 as pb
from service_kit.pb.flowpin.batch.v1.batch_pb2_grpc import BatchServiceServicer, BatchServiceStub
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from tests.support.observed_services import WORKFLOW, running_world
from tests.support.refusals import refusal
from tests.support.stack import Stack
from tests.support.waiting import eventually
from tests.support.workflows import body_of, flow_of, listed, save_request

GET = "/flowpin.workflow.v1.WorkflowService/GetVersion"
SAVE = "/flowpin.workflow.v1.WorkflowService/SaveWorkflow"
BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
PING = "/flowpin.identity.v1.IdentityService/Ping"


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """Shared by all tests of this module; each test creates its own workflows."""
    return shared_stack


@asynccontextmanager
async def batches(port: int) -> AsyncIterator[BatchServiceStub]:
    async with open_channel(f"127.0.0.1:{port}") as channel:
        yield BatchServiceStub(channel)


TOKENS = ("revoked", "viewer", "admin", "stranger", "editor")
"""Whose authorizations a batch here has, in this order."""


def call(stack: Stack, method: str, request: Any, token: str = "editor", **metadata: str) -> pb.Call:
    fields = dict(stack.as_(token, **metadata)[1:])
    return pb.Call(
        method=method, metadata=fields, message=request.SerializeToString(), authorization=TOKENS.index(token)
    )


def authorizations(stack: Stack, *tokens: str) -> tuple[tuple[str, str], ...]:
    return tuple(stack.as_(token)[0] for token in tokens or TOKENS)


def get(stack: Stack, workflow_id: str, version: str = "latest", token: str = "editor") -> pb.Call:
    return call(stack, GET, workflow_pb2.GetVersionRequest(workflow_id=workflow_id, version=version), token)


async def answers(stack: Stack, *calls: pb.Call, port: int | None = None) -> list[pb.Answer]:
    """The answers of one batch, in the order of its calls."""
    async with batches(port or stack.workflow_port) as stub:
        parts = stub.SendBatch(pb.SendBatchRequest(calls=calls), metadata=authorizations(stack))
        found = {answer.call: answer async for part in parts for answer in part.answers}
    assert sorted(found) == list(range(len(calls)))
    return [found[place] for place in range(len(calls))]


async def blocks(db: asyncpg.Connection, somebody: bool) -> bool:
    """Whether another connection waits for a lock of this one, compared with `somebody`."""
    return bool(await db.fetchval(BLOCKED)) is somebody


def reason(answer: pb.Answer) -> tuple[str, str]:
    error = ServiceError.from_status(answer.error)
    return error.code.name, error.reason


async def test_each_call_of_a_batch_is_authenticated_as_its_own_caller(stack: Stack):
    workflow, (version,) = await stack.workflow()
    theirs = await stack.draft(project=stack.people.foreign, token="stranger")
    await stack.save(theirs["id"], token="stranger")
    unnamed, negative = get(stack, workflow["id"]), get(stack, workflow["id"])
    unnamed.authorization, negative.authorization = len(TOKENS), -1
    unnamed.metadata["authorization"] = stack.as_("editor")[0][1]

    ours, other, stranger, *refused, viewer, saved = await answers(
        stack,
        get(stack, workflow["id"], version["id"]),
        get(stack, theirs["id"], token="stranger"),
        get(stack, workflow["id"], token="stranger"),
        get(stack, workflow["id"], token="revoked"),
        unnamed,
        negative,
        call(stack, SAVE, save_request(workflow["id"]), "viewer"),
        call(stack, SAVE, save_request(workflow["id"]), "editor"),
    )

    alone = await stack.workflows.GetVersion(
        workflow_pb2.GetVersionRequest(workflow_id=workflow["id"], version=version["id"]), metadata=stack.as_()
    )
    read = workflow_pb2.GetVersionResponse.FromString(ours.message).data
    assert (read.id, read.flow) == (alone.data.id, alone.data.flow)
    assert ours.trailing_metadata["etag"]
    assert workflow_pb2.GetVersionResponse.FromString(other.message).data.workflow_id == theirs["id"]
    assert [reason(answer) for answer in (stranger, *refused, viewer)] == [
        ("NOT_FOUND", "WORKFLOW_NOT_FOUND"),
        *[("UNAUTHENTICATED", "TOKEN_INVALID")] * 3,
        ("PERMISSION_DENIED", "ROLE_TOO_SMALL"),
    ]
    assert not any(answer.message for answer in (stranger, *refused, viewer))
    assert workflow_pb2.SaveWorkflowResponse.FromString(saved.message).data.version == 2
    async with stack.database("admin", "workflow") as db:
        by = "SELECT array_agg(token_id) FROM audit_events WHERE action = 'SaveWorkflow' AND subject_id = $1"
        assert await db.fetchval(by, workflow["id"]) == ["tok_admin", "tok_editor"]


async def test_an_invalid_call_fails_without_the_rest_of_its_batch(stack: Stack):
    workflow, _ = await stack.workflow()
    good = get(stack, workflow["id"])
    editor = good.authorization
    odd, long = pb.Call(), pb.Call()
    odd.CopyFrom(good)
    odd.metadata["x-request-id"] = "a\0b"
    long.CopyFrom(good)
    long.metadata["x-request-id"] = "a" * 9000

    found = await answers(
        stack,
        pb.Call(method="/flowpin.workflow.v1.WorkflowService/Nothing", authorization=editor),
        pb.Call(method="/flowpin.batch.v1.BatchService/SendBatch", authorization=editor),
        pb.Call(method="/grpc.health.v1.Health/Check"),
        pb.Call(),
        pb.Call(method=GET, authorization=editor, message=b"\xff\xff\xff"),
        pb.Call(method=GET, authorization=editor),
        odd,
        long,
        good,
    )

    assert [reason(answer) for answer in found[:-1]] == [("UNIMPLEMENTED", "METHOD_UNKNOWN")] * 4 + [
        ("INVALID_ARGUMENT", "INVALID_REQUEST")
    ] * 4
    assert found[-1].message


async def test_a_batch_with_too_many_calls_is_refused(stack: Stack):
    async with batches(stack.workflow_port) as stub:
        calls = [call(stack, PING, workflow_pb2.GetVersionRequest()) for _ in range(65)]

        async def all_of(calls: list[pb.Call]) -> int:
            parts = stub.SendBatch(pb.SendBatchRequest(calls=calls), metadata=authorizations(stack))
            return sum([len(part.answers) async for part in parts])

        error = await refusal(all_of(calls))
        counts = [await all_of(calls[:count]) for count in (0, 1, 64)]

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert "65" in error.message
    assert counts == [0, 1, 64]


async def test_a_batch_without_a_valid_token_is_refused_before_it_is_received(stack: Stack):
    over = asyncio.Event()

    async def late() -> AsyncIterator[bytes]:
        await over.wait()
        return
        yield b""

    async with open_channel(f"127.0.0.1:{stack.workflow_port}") as channel:
        send = channel.stream_stream(SEND_BATCH)
        with capture_logs() as logs:
            refused = [
                await refusal(send(late(), metadata=metadata, timeout=3).read())
                for metadata in ((), authorizations(stack, "revoked", "expired"))
            ]
        over.set()

    assert [(error.code.name, error.reason) for error in refused] == [("UNAUTHENTICATED", "TOKEN_INVALID")] * 2
    assert [(line["rpc"], line["code"]) for line in logs if line["event"] == "rpc_handled"] == [
        (SEND_BATCH, "UNAUTHENTICATED")
    ] * 2


async def test_a_malformed_batch_is_an_invalid_argument(stack: Stack):
    async with open_channel(f"127.0.0.1:{stack.workflow_port}") as channel:
        send = channel.unary_stream(SEND_BATCH)
        error = await refusal(send(b"\xff\xff\xff", metadata=authorizations(stack, "viewer")).read())

    assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")


async def test_the_earlier_rpc_for_batches_is_unimplemented(stack: Stack):
    async with open_channel(f"127.0.0.1:{stack.workflow_port}") as channel:
        error = await refusal(channel.unary_stream("/flowpin.batch.v1.BatchService/Batch")(b"").read())

    assert error.code in UNSERVED


async def test_a_call_that_waits_does_not_delay_the_rest_of_its_batch(stack: Stack):
    held, free = [(await stack.workflow())[0]["id"] for _ in range(2)]
    calls = [call(stack, SAVE, save_request(held)), get(stack, free), call(stack, SAVE, save_request(free))]
    places: list[int] = []

    async with stack.database("admin", "workflow") as db, batches(stack.workflow_port) as stub:
        async with db.transaction():
            await db.execute("SELECT FROM workflows WHERE id = $1 FOR UPDATE", held)
            async with asyncio.timeout(10):
                parts = stub.SendBatch(pb.SendBatchRequest(calls=calls), metadata=authorizations(stack))
                while len(places) < 2:
                    places += [answer.call for answer in (await parts.read()).answers]
        last = [answer.call for answer in (await parts.read()).answers]

    assert (sorted(places), last) == ([1, 2], [0])


async def test_canceling_a_batch_cancels_its_calls(stack: Stack):
    held = (await stack.workflow())[0]["id"]

    async with stack.database("admin", "workflow") as db, batches(stack.workflow_port) as stub:
        async with db.transaction():
            await db.execute("SELECT FROM workflows WHERE id = $1 FOR UPDATE", held)
            calls = [call(stack, SAVE, save_request(held)) for _ in range(3)]
            waiting = stub.SendBatch(pb.SendBatchRequest(calls=calls), metadata=authorizations(stack))
            reading = asyncio.ensure_future(waiting.read())

            await eventually(partial(blocks, db, True), 5)
            waiting.cancel()
            await eventually(partial(blocks, db, False), 5)
        with pytest.raises(asyncio.CancelledError):
            await reading

    assert await listed(stack, held) == [1]


async def test_large_answers_of_a_batch_are_sent_in_separate_messages(stack: Stack):
    workflow, _ = await stack.workflow()
    large = flow_of("x" * (3 << 20))
    await stack.ok("POST", f"/v1/workflows/{workflow['id']}/save", body_of(large))

    async with open_channel(f"127.0.0.1:{stack.workflow_port}", max_message_bytes=8 << 20) as channel:
        calls = [get(stack, workflow["id"]) for _ in range(5)]
        sent = BatchServiceStub(channel).SendBatch(pb.SendBatchRequest(calls=calls), metadata=authorizations(stack))
        parts = [part async for part in sent]

    flows = [
        workflow_pb2.GetVersionResponse.FromString(answer.message).data.flow.utf8
        for part in parts
        for answer in part.answers
    ]
    assert flows == [large] * 5


async def test_the_deploy_service_serves_batches(stack: Stack):
    (missing,) = await answers(
        stack,
        call(stack, "/flowpin.deploy.v1.DeployService/GetApp", deploy_pb2.GetAppRequest(app_id=str(new_id()))),
        port=stack.deploy_port,
    )

    assert reason(missing) == ("NOT_FOUND", "APP_NOT_FOUND")


async def never_alone(message: bytes, metadata: Any) -> Any:
    raise AssertionError("it went by itself")


async def test_concurrent_calls_of_the_gateway_are_sent_in_a_batch(stack: Stack):
    workflow, _ = await stack.workflow()
    request = workflow_pb2.GetVersionRequest(workflow_id=workflow["id"], version="latest").SerializeToString()

    async with open_channel(f"127.0.0.1:{stack.workflow_port}") as channel:
        rpc = RpcBatcher(channel, 5).rpc(GET, single_call=never_alone)
        found = await asyncio.gather(
            *(rpc(request, dict(stack.as_("editor"))) for _ in range(150)),
            rpc(request, dict(stack.as_("stranger"))),
            return_exceptions=True,
        )

    *read, refused = found
    assert len({message for message, _ in read}) == 1
    assert {trailers["etag"] for _, trailers in read} == {read[0][1]["etag"]}
    assert isinstance(refused, ServiceError)
    assert refused.reason == "WORKFLOW_NOT_FOUND"


async def test_the_authorizations_of_a_batch_fit_in_its_metadata(stack: Stack):
    workflow, _ = await stack.workflow()
    request = workflow_pb2.GetVersionRequest(workflow_id=workflow["id"], version="latest").SerializeToString()
    tokens = [f"Bearer dyn_pat_{number:0300}" for number in range(100)]  # 30 KB
    good = dict(stack.as_("editor"))

    async with open_channel(f"127.0.0.1:{stack.workflow_port}") as channel:
        rpc = RpcBatcher(channel, 5).rpc(GET, single_call=never_alone)
        calls = [rpc(request, {"authorization": token}) for token in tokens]
        found = await asyncio.gather(*calls, *(rpc(request, good) for _ in range(100)), return_exceptions=True)

    refused, read = found[:100], found[100:]
    assert {(error.code.name, error.reason) for error in refused} == {("UNAUTHENTICATED", "TOKEN_INVALID")}
    assert len({message for message, _ in read}) == 1


@pytest.mark.parametrize("metadata", [{}, {"authorization": "Bearer " + "x" * 7000}])
async def test_a_call_with_an_authorization_too_large_for_a_batch_is_sent_alone(stack: Stack, metadata: Any):
    async def alone(message: bytes, metadata: Any) -> Any:
        return b"alone", {}

    async with open_channel(f"127.0.0.1:{stack.workflow_port}") as channel:
        rpc = RpcBatcher(channel, 5).rpc(GET, single_call=alone)
        found = await asyncio.gather(rpc(b"", metadata), rpc(b"", metadata))

    assert found == [(b"alone", {})] * 2


async def test_single_calls_and_large_calls_are_not_batched(stack: Stack):
    sent = []

    async def alone(message: bytes, metadata: Any) -> Any:
        sent.append(len(message))
        return b"alone", {}

    async with open_channel(f"127.0.0.1:{stack.workflow_port}") as channel:
        rpc = RpcBatcher(channel, 5).rpc(GET, single_call=alone)
        metadata = dict(stack.as_("editor"))
        await rpc(b"", metadata)
        by_itself = list(sent)
        good = workflow_pb2.GetVersionRequest(workflow_id=str(new_id()), version="latest").SerializeToString()
        await asyncio.gather(
            *(rpc(good, metadata) for _ in range(2)), rpc(b"x" * (65 << 10), metadata), return_exceptions=True
        )

    assert by_itself == [0]
    assert sent == [0, 65 << 10]


async def test_reads_of_a_failed_batch_are_sent_again_and_saves_are_not():
    alone_again = []

    async def alone(message: bytes, metadata: Any) -> Any:
        alone_again.append(message)
        return b"", {}

    async with open_channel("127.0.0.1:1") as channel:
        together = RpcBatcher(channel, 5)
        read, save = together.rpc(GET, single_call=alone), together.rpc(SAVE, single_call=alone)
        token = {"authorization": "Bearer a"}
        found = await asyncio.gather(read(b"r", token), save(b"s", token), read(b"r", token), return_exceptions=True)

    assert alone_again == [b"r", b"r"]
    assert isinstance(found[1], ServiceError)
    assert (found[1].code, found[1].reason) == (grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE")


async def test_calls_to_a_service_without_batches_are_sent_one_by_one():
    async with running_world() as world:  # its services know no batches
        found = await asyncio.gather(
            *(world.get(f"/v1/workflows/{WORKFLOW}/versions/latest") for _ in range(30)),
            *(world.post(f"/v1/workflows/{WORKFLOW}/save", b'{"flow": {}, "flow_ui": {}}') for _ in range(30)),
        )

    assert [answer.status for answer in found] == [200] * 60


class CountingBatches(BatchServiceServicer):
    """Answers every call, and keeps how many came in one batch."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def SendBatch(self, request, context):  # noqa: N802
        self.sizes.append(len(request.calls))
        yield pb.SendBatchResponse(answers=[pb.Answer(call=place) for place in range(len(request.calls))])


async def test_concurrent_pings_are_sent_in_batches():
    batches = CountingBatches()
    async with running_world(batches) as world:
        found = await asyncio.gather(
            *(world.get("/v1/ping") for _ in range(30)), *(world.post("/v1/ping", b"{}") for _ in range(30))
        )

    assert [answer.status for answer in found] == [200] * 60
    assert max(batches.sizes) > 5


@pytest.fixture
def without_gc() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_gc")
async def test_a_batch_whose_callers_have_all_hung_up_is_canceled_and_freed(stack: Stack):
    held = (await stack.workflow())[0]["id"]
    request = save_request(held).SerializeToString()

    async with (
        stack.database("admin", "workflow") as db,
        open_channel(f"127.0.0.1:{stack.workflow_port}") as channel,
    ):
        rpc = RpcBatcher(channel, 30).rpc(SAVE, single_call=never_alone)

        async with db.transaction():
            await db.execute("SELECT FROM workflows WHERE id = $1 FOR UPDATE", held)
            callers = [asyncio.ensure_future(rpc(request, dict(stack.as_("editor")))) for _ in range(2)]
            await eventually(partial(blocks, db, True), 5)
            callers[0].cancel()
            await asyncio.sleep(0.2)
            one_is_left = await blocks(db, True)
            callers[1].cancel()
            await eventually(partial(blocks, db, False), 5)
            await asyncio.wait(callers)

    callers.clear()  # a task keeps a reference to its cancellation
    assert not [kept for kept in gc.get_objects() if type(kept).__name__ == "_Batch" and kept.calls]
    assert one_is_left
    assert await listed(stack, held) == [1]


@pytest.mark.usefixtures("without_gc")
async def test_a_failed_batch_is_freed():
    async with open_channel("127.0.0.1:1") as channel:
        save = RpcBatcher(channel, 5).rpc(SAVE, single_call=never_alone)
        found = await asyncio.gather(*(save(b"s", {"authorization": "a"}) for _ in range(2)), return_exceptions=True)

    assert [error.reason for error in found] == ["SERVICE_UNAVAILABLE"] * 2
    found.clear()
    await eventually(no_batch_is_kept, 2)


async def no_batch_is_kept() -> bool:
    return not [kept for kept in gc.get_objects() if type(kept).__name__ == "_Batch" and kept.calls]


async def test_concurrent_requests_get_the_same_answers_as_sequential_ones(stack: Stack):
    workflow, _ = await stack.workflow()
    for note in "abcdefgh":
        await stack.save(workflow["id"], note)
    path = f"/v1/workflows/{workflow['id']}/versions"
    asked = [(f"{path}/{version}", token) for version in (*range(1, 11), "latest") for token in ("viewer", "stranger")]

    async def ask(path: str, token: str) -> tuple[int, str | None, Any]:
        answer = await stack.rest("GET", path, token=token)
        return answer.status, answer.headers.get("ETag"), json.loads(answer.content)

    together = await asyncio.gather(*(ask(*each) for each in asked * 3))
    one_by_one = [await ask(*each) for each in asked]

    assert together == one_by_one * 3
    assert {status for status, _, _ in one_by_one} == {200, 404}


def test_the_codes_of_google_rpc_status_are_the_codes_of_grpc():
    assert {code_pb2.Code.Name(code.value[0]) for code in grpc.StatusCode} == {code.name for code in grpc.StatusCode}
