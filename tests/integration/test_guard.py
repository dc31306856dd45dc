"""The guard refuses calls before it reads their message, and keeps no memory of them."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from service_kit.access.caller import current_caller
from service_kit.access.file import Role
from service_kit.access.registry import RELOAD_SECONDS, AccessRegistry
from service_kit.errors import NotFound
from service_kit.fair_queue import FairQueue
from service_kit.lifecycle import in_background
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.serving.guard import Guard
from tests.support.refusals import refusal
from tests.support.stack import People
from tests.support.waiting import eventually

UNKNOWN = "01980000-0000-7000-8000-000000000000"
GOOD = pb.GetWorkflowRequest(workflow_id=UNKNOWN).SerializeToString()


async def missing(request: pb.GetWorkflowRequest, context: Any) -> bytes:
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    failed.set_exception(NotFound("Workflow not found."))
    try:
        await failed
    finally:
        del failed
    return b""


async def broken(request: pb.GetWorkflowRequest, context: Any) -> bytes:
    try:
        raise LookupError(request.workflow_id)
    except LookupError as error:
        raise RuntimeError from error


async def missing_parts(request: pb.GetWorkflowRequest, context: Any) -> AsyncIterator[bytes]:
    yield b"part"
    raise NotFound("Workflow not found.")


async def name(request: pb.GetWorkflowRequest, context: Any) -> bytes:
    return current_caller().principal.token.id.encode()


async def request_id(request: pb.GetWorkflowRequest, context: Any) -> bytes:
    return current_caller().request_id.encode()


@dataclass
class Guarded:
    people: People
    channel: grpc.aio.Channel
    queue: FairQueue

    def call(self, method: str, message: bytes = GOOD, token: str = "viewer", **metadata: str) -> Any:
        return self.channel.unary_unary(f"/test.Guarded/{method}")(message, metadata=self.metadata(token, **metadata))

    def metadata(self, token: str, **more: str) -> Any:
        fields = ((key.replace("_", "-"), value) for key, value in more.items())
        return (("authorization", f"Bearer {self.people.secret(token)}"), *fields)


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    """A server of RPCs that take a GetWorkflowRequest, behind the guard."""
    people = People(tmp_path / "access.yaml")
    people.write()
    registry, queue = AccessRegistry(people.path), FairQueue(2)
    parse = pb.GetWorkflowRequest.FromString
    handlers = {
        behavior.__name__: grpc.unary_unary_rpc_method_handler(behavior, parse)
        for behavior in (missing, broken, name, request_id)
    }
    handlers["unlisted"] = handlers["name"]
    handlers["missing_parts"] = grpc.unary_stream_rpc_method_handler(missing_parts, parse)
    roles = {f"/test.Guarded/{method}": Role.VIEWER for method in handlers if method != "unlisted"}
    server = grpc.aio.server()
    added = Guard(registry, roles, queue).before(server)
    added.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Guarded", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, in_background(registry.follow()):
        yield Guarded(people, channel, queue)
    await server.stop(0)


class Waiting:
    """A message that is sent when the server requests it."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.sent: list[bytes] = []

    async def messages(self) -> AsyncIterator[bytes]:
        await self.go_on.wait()
        for message in self.sent:
            yield message


async def test_a_call_with_wrong_metadata_is_refused_before_its_message_arrives(guarded: Guarded):
    async def ask(method: str, token: str = "viewer", **more: str) -> tuple[str, str]:
        waiting = Waiting()
        rpc = guarded.channel.stream_unary(f"/test.Guarded/{method}")
        call = rpc(waiting.messages(), metadata=guarded.metadata(token, **more), timeout=3)
        error = await refusal(call)
        waiting.go_on.set()
        return error.code.name, error.reason

    refused = [
        await ask("name", "nobody"),
        await ask("name", "revoked"),
        await ask("unlisted"),
        await ask("name", idempotency_key=" "),
    ]
    for _ in range(2):
        await guarded.queue.enter(guarded.people.user)
    refused.append(await ask("name"))

    assert refused == [
        ("UNAUTHENTICATED", "TOKEN_INVALID"),
        ("UNAUTHENTICATED", "TOKEN_INVALID"),
        ("PERMISSION_DENIED", "INTERNAL"),
        ("INVALID_ARGUMENT", "INVALID_REQUEST"),
        ("RESOURCE_EXHAUSTED", "TOO_MANY_REQUESTS"),
    ]


async def test_a_token_revoked_before_the_message_arrives_is_refused(guarded: Guarded):
    waiting = Waiting()
    rpc = guarded.channel.stream_unary("/test.Guarded/name")
    call = rpc(waiting.messages(), metadata=guarded.metadata("viewer"), timeout=10)
    await asyncio.sleep(0.2)
    declared = guarded.people.declared()
    declared["tokens"] = [token for token in declared["tokens"] if token["id"] != "tok_viewer"]

    guarded.people.write(declared)
    await asyncio.sleep(3 * RELOAD_SECONDS)
    waiting.sent = [GOOD]
    waiting.go_on.set()

    error = await refusal(call)
    assert (error.code.name, error.reason) == ("UNAUTHENTICATED", "TOKEN_INVALID")


async def test_a_message_that_cannot_be_parsed_is_an_invalid_argument(guarded: Guarded):
    with capture_logs() as logs:
        error = await refusal(guarded.call("name", b"\xff\xff\xff"))

    assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert [(line["event"], line["code"]) for line in logs] == [("rpc_handled", "INVALID_ARGUMENT")]


async def test_concurrent_calls_have_their_own_principals(guarded: Guarded):
    found = await asyncio.gather(guarded.call("name", token="viewer"), guarded.call("name", token="editor"))

    assert found == [b"tok_viewer", b"tok_editor"]


async def test_a_malformed_request_id_is_replaced(guarded: Guarded):
    found = [await guarded.call("request_id", x_request_id=given) for given in ("r" * 128, "r" * 129, "a b")]

    assert found[0] == b"r" * 128
    assert [len(made) for made in found[1:]] == [32, 32]


@pytest.fixture
def without_gc() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def kept() -> list[Any]:
    """Requests and errors of ended calls that are still in memory."""
    names = ("AbortError", "GetWorkflowRequest", "NotFound", "LookupError")
    return [found for found in gc.get_objects() if type(found).__name__ in names]


@pytest.mark.usefixtures("without_gc")
@pytest.mark.parametrize(
    ("method", "message", "token"),
    [
        ("name", GOOD, "nobody"),
        ("unlisted", GOOD, "viewer"),
        ("name", b"\xff\xff\xff", "viewer"),
        ("name", b"", "viewer"),
        ("missing", GOOD, "viewer"),
        ("broken", GOOD, "viewer"),
    ],
)
async def test_reference_counting_frees_a_refused_call(guarded: Guarded, method: str, message: bytes, token: str):
    with capture_logs():  # with the settings of the tests, structlog keeps the tracebacks that it prints
        for _ in range(20):
            await refusal(guarded.call(method, message, token))

    await eventually(_almost_nothing_is_kept, 2)


@pytest.mark.usefixtures("without_gc")
async def test_reference_counting_frees_a_refused_stream(guarded: Guarded):
    rpc = guarded.channel.unary_stream("/test.Guarded/missing_parts")

    async def read(token: str) -> None:
        async for _ in rpc(GOOD, metadata=guarded.metadata(token)):
            pass

    for token in ("viewer", "nobody") * 10:
        await refusal(read(token))

    await eventually(_almost_nothing_is_kept, 2)


async def _almost_nothing_is_kept() -> bool:
    return len(kept()) <= 5  # grpc.aio keeps the last one or two calls until the next ones
