"""The gateway forwards each message of a stream immediately. Streams are limited and do not delay other calls."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from google.rpc.http_pb2 import HttpHeader, HttpResponse
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from gateway.server import running_gateway
from gateway.settings import Settings
from service_kit.calls import streamed_call
from service_kit.channel import ACCEPTING, MOST_CONNECTIONS, SHORTEST_PING_INTERVAL_MS, open_channel
from service_kit.errors import STATUS_DETAILS, ServiceError, Unavailable
from service_kit.ids import new_id
from service_kit.pb.flowpin.run.v1 import run_pb2 as pb
from service_kit.pb.flowpin.run.v1 import run_pb2_grpc as rpc
from tests.support.apps.flow_tests import events
from tests.support.waiting import eventually

CALLS_PER_CONNECTION = 4

Script = Callable[[pb.InvokeAppRequest], AsyncIterator[HttpBody]]


def first(content_type: str = "application/json", status: int = 200, data: bytes = b"", **headers: str) -> HttpBody:
    message = HttpBody(content_type=content_type, data=data)
    named = [HttpHeader(key=name.replace("_", "-"), value=value) for name, value in headers.items()]
    message.extensions.add().Pack(HttpResponse(status=status, headers=named))
    return message


@dataclass
class Streams(rpc.RunServiceServicer):
    """A run service whose InvokeApp runs `script`."""

    script: Script = None  # type: ignore[assignment]  # each test sets it
    under_way: int = 0
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    target: str = ""
    port: int = 0

    async def InvokeApp(self, request: Any, context: Any) -> AsyncIterator[HttpBody]:  # noqa: N802
        self.under_way += 1
        try:
            async for message in self.script(request):
                yield message
        except ServiceError as error:
            await context.abort(error.code, error.message, ((STATUS_DETAILS, error.status),))
        finally:
            self.under_way -= 1

    async def GetRun(self, request: Any, context: Any) -> pb.GetRunResponse:  # noqa: N802
        return pb.GetRunResponse(data=pb.Run(id=request.run_id))

    async def Ping(self, request: Any, context: Any) -> pb.PingResponse:  # noqa: N802
        return pb.PingResponse()

    async def waits(self, request: pb.InvokeAppRequest) -> AsyncIterator[HttpBody]:
        await self.go_on.wait()
        yield first(data=b"{}")

    def call(
        self, session: aiohttp.ClientSession, token: str = "one", method: str = "POST", path: str | None = None
    ) -> Any:
        url = f"http://127.0.0.1:{self.port}{path or f'/v1/apps/{new_id()}/invoke'}"
        body = {"input": {}} if method == "POST" else None
        return session.request(method, url, json=body, headers={"Authorization": f"Bearer dyn_pat_{token}"})


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[tuple[Streams, aiohttp.ClientSession]]:
    streams = Streams()
    server = grpc.aio.server(
        options=[
            ("grpc.http2.min_ping_interval_without_data_ms", SHORTEST_PING_INTERVAL_MS),
            ("grpc.max_concurrent_streams", CALLS_PER_CONNECTION),
        ]
    )
    rpc.add_RunServiceServicer_to_server(streams, server)
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    await health.set(ACCEPTING, health_pb2.HealthCheckResponse.SERVING)
    streams.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    chosen = Settings(listen="127.0.0.1:0", run_target=streams.target, drain_seconds=0, **settings)
    try:
        async with (
            running_gateway(chosen) as streams.port,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        ):
            yield streams, session
    finally:
        await server.stop(0)


async def test_the_first_message_of_a_stream_sets_status_and_headers():
    async def script(request: pb.InvokeAppRequest) -> AsyncIterator[HttpBody]:
        yield first("text/plain", 202, b"one ", X_Flowpin_Version="v1")
        yield HttpBody(data=b"two")

    async with running() as (streams, session):
        streams.script = script
        async with streams.call(session) as answer:
            text = await answer.text()

    assert (answer.status, answer.headers["Content-Type"], text) == (202, "text/plain", "one two")
    assert answer.headers["X-Flowpin-Version"] == "v1"
    assert answer.headers["X-Request-Id"]


async def test_a_stream_that_fails_before_its_first_message_has_an_error_status():
    async def script(request: pb.InvokeAppRequest) -> AsyncIterator[HttpBody]:
        raise Unavailable("Not now.", retry_after=3)
        yield

    async with running() as (streams, session):
        streams.script = script
        async with streams.call(session) as answer:
            body = await answer.json()

    assert (answer.status, answer.headers["Retry-After"]) == (503, "3")
    assert body["error"]["message"] == "Not now."


async def test_an_event_stream_that_fails_ends_with_an_error_event():
    async def script(request: pb.InvokeAppRequest) -> AsyncIterator[HttpBody]:
        yield first("text/event-stream", data=b"event: a\ndata: 1\n\n")
        raise Unavailable("Gone.")

    async with running() as (streams, session):
        streams.script = script
        async with streams.call(session) as answer:
            found = events(await answer.read())

    assert [name for name, _ in found] == ["a", "failed"]
    assert found[-1][1]["error"]["message"] == "Gone."


async def test_a_streamed_answer_that_fails_is_cut_off():
    async def script(request: pb.InvokeAppRequest) -> AsyncIterator[HttpBody]:
        yield first(data=b'{"half": ')
        raise Unavailable("Gone.")

    async with running() as (streams, session):
        streams.script = script
        with pytest.raises(aiohttp.ClientPayloadError):
            async with streams.call(session) as answer:
                await answer.read()


async def test_a_stream_without_messages_is_closed_after_its_limit():
    async with running(stream_idle_seconds=0.3) as (streams, session):
        streams.script = streams.waits
        async with asyncio.timeout(10), streams.call(session) as answer:
            body = await answer.json()

        assert (answer.status, body["error"]["code"]) == (504, "timeout")

        async def is_canceled() -> bool:
            return streams.under_way == 0

        await eventually(is_canceled)


async def test_streams_are_limited_by_principal_and_in_total():
    async with running(max_streams_of_one=3, max_streams=4) as (streams, session):
        streams.script = streams.waits
        calls = [asyncio.create_task(read(streams.call(session))) for _ in range(3)]
        await eventually(lambda: asyncio.sleep(0, streams.under_way == 3))
        one_more = await read(streams.call(session))
        others = asyncio.create_task(read(streams.call(session, token="two")))
        await eventually(lambda: asyncio.sleep(0, streams.under_way == 4))
        full = await read(streams.call(session, token="three"))
        streams.go_on.set()
        statuses = [await call for call in (*calls, others)]
        again = await read(streams.call(session))

    assert (one_more, full, again) == (429, 429, 200)
    assert statuses == [200] * 4


async def test_streams_do_not_delay_other_calls():
    most = MOST_CONNECTIONS * CALLS_PER_CONNECTION  # the most calls on the connections of one channel
    async with running(max_streams_of_one=most) as (streams, session):
        streams.script = streams.waits
        calls = [asyncio.create_task(read(streams.call(session))) for _ in range(most)]
        await eventually(lambda: asyncio.sleep(0, streams.under_way >= most - MOST_CONNECTIONS))
        async with asyncio.timeout(5):
            statuses = [await read(streams.call(session, method="GET", path=f"/v1/runs/{new_id()}")) for _ in range(9)]
        for call in calls:
            call.cancel()

    assert statuses == [200] * 9


async def read(call: Any) -> int:
    async with asyncio.timeout(10), call as answer:
        await answer.read()
        return int(answer.status)


class KeepingChannel:
    """A channel that keeps the calls of its streams. gRPC cancels calls that nothing refers to."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self.calls: list[Any] = []

    def unary_stream(self, path: str, **serializers: Any) -> Any:
        start = self._channel.unary_stream(path, **serializers)

        def call(message: bytes, **options: Any) -> Any:
            self.calls.append(start(message, **options))
            return self.calls[-1]

        return call


async def test_a_stream_that_is_left_early_is_canceled():
    async def script(request: pb.InvokeAppRequest) -> AsyncIterator[HttpBody]:
        while True:
            yield first(data=b"one")
            await asyncio.sleep(0.1)

    async with running() as (streams, _), open_channel(streams.target) as channel:
        streams.script = script
        keeping: Any = KeepingChannel(channel)
        messages = streamed_call(keeping, "/flowpin.run.v1.RunService/InvokeApp", 5)(b"", {})
        await anext(messages)

        await messages.aclose()

        assert [call.cancelled() for call in keeping.calls] == [True]
        await eventually(lambda: asyncio.sleep(0, streams.under_way == 0))


async def test_a_caller_that_hangs_up_on_a_stream_cancels_the_rpc():
    async with running() as (streams, session):
        streams.script = streams.waits
        call = asyncio.create_task(read(streams.call(session)))
        await eventually(lambda: asyncio.sleep(0, streams.under_way == 1))
        call.cancel()

        await eventually(lambda: asyncio.sleep(0, streams.under_way == 0))
