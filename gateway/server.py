"""Runs the gateway: channels to the services, an application with a handler per route, and a listener."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from gateway import pages
from gateway.handlers import handler
from gateway.health import Health
from gateway.receiving import Handler, Limits
from gateway.routes import routes_of
from gateway.settings import Settings
from gateway.streams import Streaming, StreamPlaces, stream_handler
from service_kit import metrics
from service_kit.byte_budget import ByteBudget
from service_kit.calls import SecondTries, single_call, streamed_call
from service_kit.channel import Interceptor, may_be_several, open_channel
from service_kit.fair_queue import FairQueue
from service_kit.hotpath import process_tuning
from service_kit.hotpath.rpc_batches import RpcBatcher
from service_kit.http import errors
from service_kit.http.bodies import BodyLimits
from service_kit.http.connections import ConnectionLimits
from service_kit.http.listener import listen, port_of
from service_kit.http.middleware import RequestMiddleware, harden
from service_kit.http.overload import LoadShedder
from service_kit.http.rates import RateLimiter
from service_kit.http.token_checks import TokenChecks, ping_path
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.identity.v1 import identity_pb2
from service_kit.pb.flowpin.run.v1 import run_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from service_kit.release import VERSION
from service_kit.tls import ChannelTls, listener_tls, warn_without_tls
from service_kit.tracing import client_interceptors, open_spans
from service_kit.workers.pool import WorkerPool, open_workers

if TYPE_CHECKING:
    from service_kit.tracing.spans import Spans

CONTRACTS = {
    "workflow": [identity_pb2.DESCRIPTOR, workflow_pb2.DESCRIPTOR],
    "deploy": [deploy_pb2.DESCRIPTOR],
    "run": [run_pb2.DESCRIPTOR],
}
"""The contracts of each service."""
ALL_CONTRACTS = [contract for contracts in CONTRACTS.values() for contract in contracts]

BATCHED = (
    "/v1/workflows/{workflow_id}/versions/{version}",
    "/v1/workflows/{workflow_id}/save",
    "/v1/apps/{app_id}",
    "/v1/apps/{app_id}/deploy",
    "/v1/ping",
)
"""Routes whose concurrent calls are batched."""

RELEASE = {"Flowpin-Version": VERSION}
"""Headers of every answer."""

log = structlog.get_logger()


@asynccontextmanager
async def running_gateway(settings: Settings) -> AsyncIterator[int]:
    """Serve until the block ends. Yields the port. Raises OSError (RuntimeError for metrics) when a port is taken."""
    async with AsyncExitStack() as stack:
        spans = await stack.enter_async_context(open_spans("gateway", settings.otel_exporter_otlp_endpoint))
        tls = await stack.enter_async_context(listener_tls(settings.listener_tls))
        await stack.enter_async_context(metrics.exposed(settings.metrics_listen, tls))
        interceptors = client_interceptors(spans)
        channels = {
            name: await stack.enter_async_context(_channel(name, target, interceptors, settings.channel_tls))
            for name, target in settings.targets.items()
        }
        stream_channels = {
            name: await stack.enter_async_context(_channel(name, target, interceptors, settings.channel_tls))
            for name, target in settings.targets.items()
            if any(route.is_stream for route in routes_of(CONTRACTS[name]))
        }
        middleware = RequestMiddleware()
        at_work = min(settings.max_requests_at_work, settings.max_requests)
        queue = FairQueue(at_work, settings.max_requests - at_work, most_for_one=settings.max_requests)
        workers = await stack.enter_async_context(open_workers(settings.worker_limits))
        app = application(settings, channels, stream_channels, middleware, queue, workers, spans)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        limits = ConnectionLimits(
            settings.head_seconds, settings.idle_seconds, settings.write_seconds, settings.max_connections
        )
        warn_without_tls(settings.listen, tls)
        listener = await listen(
            runner,
            settings.listen,
            LoadShedder(queue, RELEASE),
            limits,
            tls=None if tls is None else tls.context,
            share_port=settings.share_port,
        )
        process_tuning.tune(gc_thresholds=(50_000, 10, 10))
        log.info("listener_started", address=f"{settings.listen.rpartition(':')[0]}:{port_of(listener)}")
        try:
            yield port_of(listener)
        finally:
            log.info("drain_started")
            listener.close()
            await middleware.drain(settings.drain_seconds)


def application(
    settings: Settings,
    channels: Mapping[str, grpc.aio.Channel],
    stream_channels: Mapping[str, grpc.aio.Channel],
    middleware: RequestMiddleware,
    queue: FairQueue,
    workers: WorkerPool,
    spans: "Spans | None" = None,
) -> web.Application:
    middlewares: list[Middleware] = [middleware.follow]
    if spans is not None:
        from service_kit.http.tracing import tracing

        middlewares.insert(0, tracing(spans))
    app = web.Application(client_max_size=settings.max_body_bytes, middlewares=middlewares)
    app.on_response_prepare.extend((_name_release, harden))
    health = Health(channels, middleware, queue)
    pages.add_to(app.router, ALL_CONTRACTS)
    app.router.add_get("/health/live", health.live)
    app.router.add_get("/health/ready", health.ready)
    limits = Limits(
        queue,
        ByteBudget(settings.max_bytes_under_way),
        BodyLimits(settings.max_body_bytes, settings.body_seconds, settings.body_bytes_per_second),
        workers,
        RateLimiter(settings.rate_limit) if settings.rate_limit else None,
    )
    streaming = Streaming(StreamPlaces(settings.max_streams, settings.max_streams_of_one), settings.heartbeat_seconds)
    verbs: dict[str, set[str]] = {}
    for name, contracts in CONTRACTS.items():
        if name not in channels:
            for route in routes_of(contracts):
                app.router.add_route("*", route.template, _not_installed)
            continue
        # With a single replica, a second try would only add load.
        tries = SecondTries(settings.second_try_seconds) if may_be_several(settings.targets[name]) else None
        tokens = TokenChecks(single_call(channels[name], ping_path(contracts), settings.timeout_seconds, tries))
        together = RpcBatcher(channels[name], settings.timeout_seconds, tries)
        for route in routes_of(contracts):
            if route.is_stream:
                streamed = streamed_call(stream_channels[name], route.rpc_path, settings.stream_idle_seconds)
                answer = stream_handler(route, streamed, tokens, limits, streaming)
            else:
                rpc = single_call(channels[name], route.rpc_path, settings.timeout_seconds, tries)
                if route.template in BATCHED and spans is None:  # with tracing, each call is an RPC with its own span
                    rpc = together.rpc(route.rpc_path, single_call=rpc)
                answer = handler(route, rpc, tokens, limits)
            for verb in ("GET", "HEAD") if route.verb == "GET" and not route.is_stream else (route.verb,):
                app.router.add_route(verb, route.template, answer)
                verbs.setdefault(route.template, set()).add(verb)
    for template, allowed in verbs.items():
        # Otherwise, for a method that /v1/workflows/export does not support, aiohttp would try
        # /v1/workflows/{workflow_id}.
        app.router.add_route("*", template, _refuser(allowed))
    return app


async def _name_release(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(RELEASE)


async def _not_installed(request: web.Request) -> web.StreamResponse:
    """Answers calls of the run service, the only optional service, when it is not installed."""
    return errors.envelope(501, "not_implemented", "Apps do not run here, because GATEWAY_RUN_TARGET is not set.")


def _refuser(allowed: set[str]) -> Handler:
    async def refuse(request: web.Request) -> web.StreamResponse:
        raise web.HTTPMethodNotAllowed(request.method, allowed)

    return refuse


def _channel(name: str, target: str, interceptors: Sequence[Interceptor], tls: ChannelTls | None) -> grpc.aio.Channel:
    services = [service for contract in CONTRACTS[name] for service in contract.services_by_name.values()]
    return open_channel(target, *services, interceptors=interceptors, tls=tls)
