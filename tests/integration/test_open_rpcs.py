"""Health and reflection limit what callers without a token can make them read, store and log."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
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
    """The code of a call. It is sent as a stream, which gRPC accepts for every kind of RPC."""
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
async def test_malformed_and_long_health_and_reflection_requests_are_refused_and_not_logged(
    channel: grpc.aio.Channel, caplog: pytest.LogCaptureFixture, method: str
):
    long = health_pb2.HealthCheckRequest(service="x" * open_rpcs.MOST_BYTES).SerializeToString()

    with capture_logs() as logs, caplog.at_level(logging.WARNING):
        codes = [await ended(channel, method, one(message)) for message in (b"\xff\xff\xff", long)]

    assert codes == ["INVALID_ARGUMENT"] * 2
    assert [line for line in logs if line["event"] != "health_restored"] == []
    assert caplog.records == []


@pytest.mark.parametrize("method", [CHECK, WATCH])
async def test_a_health_or_reflection_call_without_a_message_is_refused(channel: grpc.aio.Channel, method: str):
    assert await ended(channel, method, none()) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("method", [CHECK, WATCH, REFLECT])
async def test_a_health_or_reflection_call_whose_message_does_not_arrive_times_out(
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


async def test_the_health_of_an_unknown_part_is_not_found(channel: grpc.aio.Channel):
    stub = health_pb2_grpc.HealthStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service="nothing"))

    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_idle_reflection_streams_do_not_block_other_calls(shared_stack: Stack, channel: grpc.aio.Channel):
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


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_both_versions_of_reflection_describe_all_services(channel: grpc.aio.Channel, version: str):
    method = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    reflect = channel.stream_stream(
        method,
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    ask = reflection_pb2.ServerReflectionRequest
    [listed] = [answer async for answer in reflect([ask(list_services="")], timeout=10)]
    services = [service.name for service in listed.list_services_response.service]

    asked = [ask(file_containing_symbol=name) for name in services]
    answers = [answer async for answer in reflect(asked, timeout=10)]

    assert {"grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"} <= set(services)
    found = [
        {
            f"{file.package}.{service.name}"
            for each in answer.file_descriptor_response.file_descriptor_proto
            for file in [FileDescriptorProto.FromString(each)]
            for service in file.service
        }
        for answer in answers
    ]
    assert [name in names for name, names in zip(services, found, strict=True)] == [True] * len(services)


async def test_watchers_of_health_are_woken_by_a_change_only(monkeypatch: pytest.MonkeyPatch):
    servicer, woken = HealthServicer(), []
    condition = servicer._server_watchers[""]
    monkeypatch.setattr(condition, "notify_all", lambda: woken.append(True))

    for status in (HEALTHY, HEALTHY, health_pb2.HealthCheckResponse.NOT_SERVING, HEALTHY, HEALTHY):
        await servicer.set("", status)

    assert len(woken) == 2
