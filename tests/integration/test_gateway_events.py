"""A stream of messages other than HttpBody is sent as server-sent events, one event per message."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp import web

from gateway.receiving import Limits
from gateway.routes import Route
from gateway.streams import Streaming, StreamPlaces, stream_handler
from service_kit.byte_budget import ByteBudget
from service_kit.fair_queue import FairQueue
from service_kit.http.bodies import BodyLimits
from service_kit.http.middleware import RequestMiddleware
from service_kit.http.token_checks import TokenChecks
from service_kit.ids import new_id
from service_kit.pb.flowpin.routing.v1 import routing_pb2
from tests.support.apps.flow_tests import events


async def test_a_stream_of_plain_messages_is_sent_as_server_sent_events():
    method = routing_pb2.DESCRIPTOR.services_by_name["RoutingService"].methods_by_name["WatchRoutes"]

    async def rpc(message: bytes, metadata: Any) -> AsyncIterator[bytes]:
        request = routing_pb2.WatchRoutesRequest.FromString(message)
        for is_complete in (False, True):
            yield routing_pb2.WatchRoutesResponse(
                snapshot_complete=is_complete, routes=[routing_pb2.Route(hostname=request.name)]
            ).SerializeToString()

    async def ping(message: bytes, metadata: Any) -> Any:
        return b"", {}

    limits = Limits(FairQueue(8), ByteBudget(1 << 20), BodyLimits(1 << 20, 5, 1 << 10), None)  # type: ignore[arg-type]
    route = Route("GET", "/v1/watch", has_body=False, rpc=method, operation_id="Watch")
    app = web.Application(middlewares=[RequestMiddleware().follow])
    handler = stream_handler(route, rpc, TokenChecks(ping), limits, Streaming(StreamPlaces(8, 8), 15))
    app.router.add_get("/v1/watch", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]  # aiohttp names it nowhere else
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port}/v1/watch?router_id={new_id()}&name=x"
        async with session.get(url, headers={"Authorization": "Bearer dyn_pat_x"}) as answer:
            found = events(await answer.read())
    await runner.cleanup()

    assert answer.headers["Content-Type"] == "text/event-stream"
    assert [name for name, _ in found] == ["message", "message"]
    assert [data["snapshot_complete"] for _, data in found] == [False, True]
    assert found[0][1]["routes"][0]["hostname"] == "x"
