"""Runs the router, the listener for apps."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from run_service.router.calls import Calls
from run_service.router.handlers import AppHandler, Limits, describe
from run_service.router.health import Health
from run_service.settings import Settings
from run_service.supply.replicas import Replicas
from run_service.supply.route_table import RouteTable
from service_kit.byte_budget import ByteBudget
from service_kit.fair_queue import FairQueue
from service_kit.http.bodies import BodyLimits
from service_kit.http.connections import ConnectionLimits
from service_kit.http.listener import listen, port_of
from service_kit.http.middleware import RequestMiddleware, harden
from service_kit.http.overload import LoadShedder
from service_kit.http.rates import RateLimiter
from service_kit.serving.health import Check
from service_kit.tls import ListenerTls, warn_without_tls

if TYPE_CHECKING:
    from service_kit.tracing.spans import Spans

log = structlog.get_logger()


@asynccontextmanager
async def running_router(
    settings: Settings,
    table: RouteTable,
    replicas: Replicas,
    calls: Calls,
    parts: Mapping[str, Check],
    leave: Callable[[], Awaitable[None]],
    spans: "Spans | None" = None,
    tls: ListenerTls | None = None,
) -> AsyncIterator[int]:
    """Answer calls of apps until the block ends; yields the port. Raises RuntimeError when it is taken.

    `parts` are the checks of health. `leave` is awaited once no new call is accepted.
    """
    middleware = RequestMiddleware()
    queue = FairQueue(settings.max_requests)
    limits = Limits(
        queue,
        ByteBudget(settings.max_bytes_under_way),
        BodyLimits(settings.max_body_bytes, settings.body_seconds, settings.body_bytes_per_second),
        RateLimiter(settings.rate_limit) if settings.rate_limit else None,
        settings.seconds,
        settings.heartbeat_seconds,
    )
    middlewares: list[Middleware] = [middleware.follow]
    if spans is not None:
        from service_kit.http.tracing import tracing

        middlewares.insert(0, tracing(spans))
    app = web.Application(client_max_size=settings.max_body_bytes, middlewares=middlewares)
    app.on_response_prepare.extend((describe, harden))
    health = Health(table, parts, middleware, queue)
    app.router.add_get("/health/live", health.live)
    app.router.add_get("/health/ready", health.ready)
    handler = AppHandler(settings.apps_domain, table, replicas, calls, limits)
    app.router.add_route("*", "/{path:.*}", handler.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    try:
        connections = ConnectionLimits(
            settings.head_seconds,
            settings.connection_idle_seconds,
            settings.write_seconds,
            settings.max_connections,
        )
        try:
            warn_without_tls(settings.listen, tls)
            context = None if tls is None else tls.context
            listener = await listen(runner, settings.listen, LoadShedder(queue), connections, tls=context)
        except OSError as error:
            raise RuntimeError(f"apps cannot be served on {settings.listen}: {error.strerror}") from error
        log.info("listener_started", apps=f"{settings.listen.rpartition(':')[0]}:{port_of(listener)}")
        try:
            yield port_of(listener)
        finally:
            log.info("drain_started")
            listener.close()
            await leave()
            await middleware.drain(settings.drain_seconds)
    finally:
        await runner.cleanup()
