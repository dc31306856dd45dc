"""Calls beyond the limit of a process are refused immediately. Accepted calls continue."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest

from service_kit.channel import open_channel
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.identity.v1 import identity_pb2
from service_kit.pb.flowpin.identity.v1.identity_pb2_grpc import IdentityServiceStub
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.pb.flowpin.workflow.v1.workflow_pb2_grpc import WorkflowServiceStub
from tests.support.observed_services import WORKFLOW, World, running_world
from tests.support.refusals import refusal
from tests.support.stack import Stack, running_stack
from tests.support.waiting import eventually
from tests.support.workflows import HELD, save_request

pytestmark = pytest.mark.slow


SAVE = f"/v1/workflows/{WORKFLOW}/save"
VERSION = f"/v1/workflows/{WORKFLOW}/versions/latest"
DOCUMENTS = b'{"flow": {}, "flow_ui": {}}'


def arrived(world: World, count: int) -> Callable[[], Awaitable[bool]]:
    async def enough() -> bool:
        return len(world.observed.requests) == count

    return enough


async def test_the_gateway_refuses_requests_beyond_its_limit():
    async with running_world(max_requests=2) as world:
        world.observed.hangs = True
        taken_on = [asyncio.create_task(world.post(SAVE, DOCUMENTS)) for _ in range(2)]
        await eventually(arrived(world, 2), seconds=5)

        started = time.monotonic()
        refused = await world.get(VERSION)
        seconds = time.monotonic() - started
        live = await world.get("/health/live")
        world.observed.go_on.set()
        done = [answer.status for answer in await asyncio.gather(*taken_on)]
        again = await world.get(VERSION)

        assert (refused.status, refused.error["code"]) == (429, "too_many_requests")
        assert refused.details["reason"] == "TOO_MANY_REQUESTS"
        assert refused.headers["Retry-After"] == "1"
        assert seconds < 0.5
        assert live.status == 200
        assert done == [200, 200]
        assert again.status == 200


async def test_the_gateway_refuses_bodies_beyond_its_limit_of_bytes():
    async with running_world(max_bytes_under_way=1 << 20, max_body_bytes=4 << 20) as world:
        large = b'{"flow": {"a": "' + b"x" * (2 << 20) + b'"}, "flow_ui": {}}'
        world.observed.hangs = True
        taken_on = asyncio.create_task(world.post(SAVE, large))
        await world.observed.arrived.wait()

        refused = await world.post(SAVE, large)
        world.observed.hangs = False
        small = await world.get(VERSION)
        world.observed.go_on.set()

        assert refused.status == 429
        assert small.status == 200
        assert (await taken_on).status == 200
        assert (await world.post(SAVE, large)).status == 200


async def test_the_workflow_service_refuses_calls_beyond_its_limit(unstarted: Stack):
    async with AsyncExitStack() as until_done:
        stack = await until_done.enter_async_context(running_stack(unstarted, workflow={"max_calls": 2}))
        admin = await until_done.enter_async_context(stack.database("admin", "workflow"))
        workflow, _ = await stack.workflow()
        get = pb.GetVersionRequest(workflow_id=workflow["id"], version="latest")

        def call(rpc: Any, request: Any) -> asyncio.Future[Any]:
            return asyncio.ensure_future(rpc(request, metadata=stack.as_()))

        async with admin.transaction():
            await admin.execute("LOCK TABLE workflows IN ACCESS EXCLUSIVE MODE")
            taken_on = [call(stack.workflows.SaveWorkflow, save_request(workflow["id"])) for _ in range(2)]
            await eventually(lambda: admin.fetchval(HELD), seconds=5)
            refused = await refusal(call(stack.workflows.GetVersion, get))
            ping = await refusal(call(stack.identity.Ping, identity_pb2.PingRequest()))
        saved = [(await save).data.version for save in taken_on]

        assert (refused.code.name, refused.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_REQUESTS")
        assert (ping.code, ping.reason) == (refused.code, refused.reason)
        assert refused.retry_after == 1
        assert sorted(saved) == [2, 3]
        assert (await call(stack.workflows.GetVersion, get)).data.version == 3


async def test_the_deploy_service_refuses_calls_beyond_its_limit(unstarted: Stack):
    async with (
        running_stack(unstarted, deploy={"max_calls": 2}) as stack,
        stack.database("admin", "deploy") as admin,
    ):
        workflow, _ = await stack.workflow()
        get = deploy_pb2.GetAppRequest(app_id=(await stack.app(workflow["id"]))["id"])

        async with admin.transaction():
            await admin.execute("LOCK TABLE apps IN ACCESS EXCLUSIVE MODE")
            taken_on = [asyncio.ensure_future(stack.deploys.GetApp(get, metadata=stack.as_())) for _ in range(2)]
            await eventually(lambda: admin.fetchval(HELD.replace("workflows", "apps")), seconds=5)
            refused = await refusal(stack.deploys.GetApp(get, metadata=stack.as_()))

        assert (refused.code.name, refused.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_REQUESTS")
        assert {answer.data.id for answer in await asyncio.gather(*taken_on)} == {get.app_id}


@asynccontextmanager
async def two_calls_per_connection(unstarted: Stack) -> AsyncIterator[tuple[Stack, Any]]:
    """A workflow service that lets a connection have two calls in progress, and its database."""
    async with (
        running_stack(unstarted, workflow={"max_calls_per_connection": 2}) as stack,
        stack.database("admin", "workflow") as admin,
    ):
        yield stack, admin


def one_connection(port: int) -> grpc.aio.Channel:
    """A channel with default options except retries, so that a refused call is seen."""
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_retries", 0)])


async def read_while_locked(stack: Stack, admin: Any, channel: grpc.aio.Channel, at_work: int) -> None:
    """Send forty reads that wait for a lock; check that `at_work` of them reach the database and all are answered."""
    workflow, _ = await stack.workflow()
    request = pb.GetWorkflowRequest(workflow_id=workflow["id"])
    stub = WorkflowServiceStub(channel)
    async with admin.transaction():
        await admin.execute("LOCK TABLE workflows IN ACCESS EXCLUSIVE MODE")
        reads = [asyncio.ensure_future(stub.GetWorkflow(request, metadata=stack.as_())) for _ in range(40)]
        await eventually(lambda: admin.fetchval(f"SELECT ({HELD}) >= $1", at_work), seconds=5)
        await asyncio.sleep(0.2)
        assert await admin.fetchval(HELD) == at_work
    assert {answer.data.id for answer in await asyncio.gather(*reads)} == {workflow["id"]}


async def test_calls_beyond_the_limit_of_a_connection_wait_at_the_caller(unstarted: Stack):
    async with two_calls_per_connection(unstarted) as (stack, admin), one_connection(stack.workflow_port) as channel:
        await read_while_locked(stack, admin, channel, at_work=2)


async def test_a_channel_opens_another_connection_when_one_is_full(unstarted: Stack):
    async with (
        two_calls_per_connection(unstarted) as (stack, admin),
        open_channel(f"127.0.0.1:{stack.workflow_port}") as channel,
    ):
        await read_while_locked(stack, admin, channel, at_work=8)  # as many as there are connections to Postgres


async def test_calls_beyond_the_limit_of_a_connection_are_not_refused(unstarted: Stack):
    async with two_calls_per_connection(unstarted) as (stack, _), one_connection(stack.workflow_port) as channel:
        stub = IdentityServiceStub(channel)
        pings = [stub.Ping(identity_pb2.PingRequest(), metadata=stack.as_()) for _ in range(500)]

        assert {await ping.code() for ping in pings} == {grpc.StatusCode.OK}


class Caller:
    """One connection to which a test writes bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, text: str) -> None:
        self._writer.write(text.replace("\n", "\r\n").encode())

    async def answer(self) -> str:
        """The head of the next answer."""
        head = (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 5)).decode()
        (length,) = [line.split(":")[1] for line in head.split("\r\n") if line.lower().startswith("content-length")]
        await self._reader.readexactly(int(length))
        return head


@asynccontextmanager
async def full_gateway() -> AsyncIterator[tuple[World, Caller]]:
    """A gateway at its limit of requests, and a connection to it that has been used before."""
    async with running_world(max_requests=1) as world:
        host, _, port = world.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        caller = Caller(reader, writer)
        caller.send(f"GET {VERSION} HTTP/1.1\nHost: x\nAuthorization: Bearer dyn_pat_test\n\n")
        assert "200 OK" in await caller.answer()
        world.observed.hangs = True
        taken_on = asyncio.create_task(world.post(SAVE, DOCUMENTS))
        await eventually(arrived(world, 2), seconds=5)
        yield world, caller
        world.observed.go_on.set()
        assert (await taken_on).status == 200
        writer.close()


async def test_a_connection_works_after_the_load_shedder_has_refused_its_requests():
    async with full_gateway() as (world, caller):
        for _ in range(3):
            caller.send(f"GET {VERSION} HTTP/1.1\nHost: x\nX-Request-Id: mine\n\n")
            head = await caller.answer()
            assert " 429 " in head
            assert "X-Request-Id: mine" in head
            assert "Date:" not in head  # the load shedder's answer, not aiohttp's
        world.observed.hangs = False
        world.observed.go_on.set()
        await asyncio.sleep(0.1)
        caller.send(f"GET {VERSION} HTTP/1.1\nHost: x\nAuthorization: Bearer dyn_pat_test\n\n")

        assert "200 OK" in await caller.answer()


async def test_the_rest_of_a_refused_request_is_not_read_as_another_request():
    async with full_gateway() as (_world, caller):
        caller.send(f"GET {VERSION} HTTP/1.1\nHost: x\nX-Other: ")
        await asyncio.sleep(0.1)
        caller.send(f"GET {VERSION} HTTP/1.1\nAuthorization: Bearer dyn_pat_test\n\n")
        first = await caller.answer()
        caller.send(f"GET {VERSION} HTTP/1.1\nHost: x\nX-Request-Id: second\n\n")
        second = await caller.answer()

        assert "429" in first
        assert "Date:" in first
        assert "X-Request-Id: second" in second
