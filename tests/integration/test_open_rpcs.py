"""What callers without a token can make health and reflection read, keep and log."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from service_kit.channel import open_channel
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.serving import open_rpcs
from service_kit.serving.health_servicer import HealthServicer
from tests.support.stack import FLOW, Stack

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
HEALTHY = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
async def channel(shared_stack: Stack) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(f"127.0.0.1:{shared_stack.workflow_port}") as channel:
        yield channel


async def ended(channel: grpc.aio.Channel, method: str, messages: Any) -> str:
    """The code. The messages of any kind of RPC are a stream to gRPC."""
    call = channel.stream_stream(method)(messages, timeout=5)
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError:
        pass
    code: grpc.StatusCode = await call.code()
    return code.name


async def one(message: bytes) -> AsyncIterator[bytes]:
    yield message


async def none() -> AsyncIterator[bytes]:
    return
    yield b""


@pytest.mark.parametrize("method", [CHECK, WATCH, REFLECT])
async def test_what_is_malformed_or_long_is_refused_and_not_logged(
    channel: grpc.aio.Channel, caplog: pytest.LogCaptureFixture, method: str
):
    long = health_pb2.HealthCheckRequest(service="x" * open_rpcs.MOST_BYTES).SerializeToString()

    with capture_logs() as logs, caplog.at_level(logging.WARNING):
        codes = [await ended(channel, method, one(message)) for message in (b"\xff\xff\xff", long)]

    assert codes == ["INVALID_ARGUMENT"] * 2
    assert [line for line in logs if line["event"] != "serving"] == []
    assert caplog.records == []


@pytest.mark.parametrize("method", [CHECK, WATCH])
async def test_a_call_without_a_message_is_refused(channel: grpc.aio.Channel, method: str):
    assert await ended(channel, method, none()) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("method", [CHECK, WATCH, REFLECT])
async def test_a_message_that_does_not_come_is_not_waited_for(
    channel: grpc.aio.Channel, monkeypatch: pytest.MonkeyPatch, method: str
):
    monkeypatch.setattr(open_rpcs, "READ_SECONDS", 0.2)
    over = asyncio.Event()

    async def late() -> AsyncIterator[bytes]:
        await over.wait()
        return
        yield b""

    async with asyncio.timeout(3):
        code = await ended(channel, method, late())

    over.set()
    assert code == "DEADLINE_EXCEEDED"


async def test_a_part_that_is_not_there_is_not_found(channel: grpc.aio.Channel):
    stub = health_pb2_grpc.HealthStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service="nothing"))

    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_idle_reflection_takes_nothing_from_others(shared_stack: Stack, channel: grpc.aio.Channel):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    listing = reflection_pb2.ServerReflectionRequest(list_services="")
    streams = [stub.ServerReflectionInfo(timeout=10) for _ in range(40)]  # more than there are threads
    for stream in streams:
        await stream.write(listing)
    listed = [await stream.read() for stream in streams]

    validated = await shared_stack.workflows.ValidateFlow(
        pb.ValidateFlowRequest(flow=pb.Json(utf8=FLOW)), metadata=shared_stack.as_("viewer"), timeout=5
    )

    for stream in streams:
        stream.cancel()
    assert validated.data.valid
    services = {service.name for service in listed[0].list_services_response.service}
    assert {"flowpin.workflow.v1.WorkflowService", "grpc.health.v1.Health"} <= services


async def test_watchers_are_woken_by_a_change_only(monkeypatch: pytest.MonkeyPatch):
    servicer, woken = HealthServicer(), []
    condition = servicer._server_watchers[""]
    monkeypatch.setattr(condition, "notify_all", lambda: woken.append(True))

    for status in (HEALTHY, HEALTHY, health_pb2.HealthCheckResponse.NOT_SERVING, HEALTHY, HEALTHY):
        await servicer.set("", status)

    assert len(woken) == 2
