"""The running gateway: channels to the services, an application with a handler per route, a listener."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, cast

import grpc
import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from gateway import pages
from gateway.calls import Handler, handler
from gateway.connection import Arrival
from gateway.door import Door
from gateway.health import Health
from gateway.routes import routes_of
from gateway.settings import Settings
from gateway.traffic import Traffic
from service_kit import memory, metrics
from service_kit.admission import Admission
from service_kit.channel import Interceptor, open_channel
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.identity.v1 import identity_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from service_kit.rpcs import Together, alone
from service_kit.tracing import client_interceptors, open_spans

if TYPE_CHECKING:
    from service_kit.tracing.spans import Spans

CONTRACTS = {
    "workflow": [identity_pb2.DESCRIPTOR, workflow_pb2.DESCRIPTOR],
    "deploy": [deploy_pb2.DESCRIPTOR],
}
"""Which contracts each service speaks."""
ALL_CONTRACTS = [contract for contracts in CONTRACTS.values() for contract in contracts]

BUSIEST = (
    "/v1/workflows/{workflow_id}/versions/{version}",
    "/v1/workflows/{workflow_id}/save",
    "/v1/apps/{app_id}",
    "/v1/apps/{app_id}/deploy",
)
"""Found first: aiohttp tries the templates that begin alike one after another, some 3 µs each. Their calls go together
where several come at the same time."""
BACKLOG = 8192
"""Connections that may wait to be accepted. On top of it (or of the system's own limit, net.core.somaxconn) they are
dropped, and callers try again only after a second."""

log = structlog.get_logger()


@asynccontextmanager
async def running_gateway(settings: Settings) -> AsyncIterator[int]:
    """Serve until the block ends; yields the port. Raises OSError (the metrics': RuntimeError) when it is taken."""
    async with AsyncExitStack() as stack:
        spans = await stack.enter_async_context(open_spans("gateway", settings.otel_exporter_otlp_endpoint))
        await stack.enter_async_context(metrics.exposed(settings.metrics_listen))
        interceptors = client_interceptors(spans)
        channels = {
            name: await stack.enter_async_context(_channel(name, target, interceptors))
            for name, target in (("workflow", settings.workflow_target), ("deploy", settings.deploy_target))
        }
        traffic = Traffic()
        admission = Admission(settings.max_requests, settings.max_bytes_under_way)
        app = application(settings, channels, traffic, admission, spans)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        listener = await _listen(runner, Door(admission), settings.listen)
        memory.prepare(young=50_000)
        log.info("listening", address=f"{settings.listen.rpartition(':')[0]}:{_port(listener)}")
        try:
            yield _port(listener)
        finally:
            log.info("draining")
            listener.close()
            await traffic.drain(settings.drain_seconds)


def application(
    settings: Settings,
    channels: Mapping[str, grpc.aio.Channel],
    traffic: Traffic,
    admission: Admission,
    spans: "Spans | None" = None,
) -> web.Application:
    middlewares: list[Middleware] = [traffic.follow]
    if spans is not None:
        from gateway.tracing import tracing

        middlewares.insert(0, tracing(spans))
    app = web.Application(client_max_size=settings.max_body_bytes, middlewares=middlewares)
    health = Health(channels, traffic)
    pages.add_to(app.router, ALL_CONTRACTS)
    app.router.add_get("/health/live", health.live)
    app.router.add_get("/health/ready", health.ready)
    verbs: dict[str, set[str]] = {}
    for name, contracts in CONTRACTS.items():
        together = Together(channels[name], settings.timeout_seconds)
        for route in sorted(routes_of(contracts), key=lambda route: route.template not in BUSIEST):
            rpc = alone(channels[name], route.rpc_path, settings.timeout_seconds)
            if route.template in BUSIEST and spans is None:  # traced, each is an RPC with a span of its own
                rpc = together.rpc(route.rpc_path, alone=rpc)
            answer = handler(route, rpc, admission)
            for verb in ("GET", "HEAD") if route.verb == "GET" else (route.verb,):
                app.router.add_route(verb, route.template, answer)
                verbs.setdefault(route.template, set()).add(verb)
    for template, allowed in verbs.items():
        # Or aiohttp would go on to /v1/workflows/{workflow_id} with what /v1/workflows/export does not take.
        app.router.add_route("*", template, _refuser(allowed))
    return app


def _refuser(allowed: set[str]) -> Handler:
    async def refuse(request: web.Request) -> web.StreamResponse:
        raise web.HTTPMethodNotAllowed(request.method, allowed)

    return refuse


def _channel(name: str, target: str, interceptors: Sequence[Interceptor]) -> grpc.aio.Channel:
    services = [service for contract in CONTRACTS[name] for service in contract.services_by_name.values()]
    return open_channel(target, *services, interceptors=interceptors)


async def _listen(runner: web.AppRunner, door: Door, address: str) -> asyncio.Server:
    host, _, port = address.rpartition(":")
    loop, server = asyncio.get_running_loop(), cast("web.Server", runner.server)
    return await loop.create_server(lambda: Arrival(server, door, loop), host.strip("[]"), int(port), backlog=BACKLOG)


def _port(listener: asyncio.Server) -> int:
    return int(listener.sockets[0].getsockname()[1])
