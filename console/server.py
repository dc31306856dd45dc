"""Runs the console: channels to the services, handlers of all pages, and a listener."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from console.cookies import open_cookies
from console.directory import Directory
from console.guarding import Guard
from console.health import Health
from console.issuer import issuer_of
from console.pages import PAGES
from console.pages.sign_in import SignIn
from console.rendering import Renderer
from console.security import protect
from console.services import Services, open_services
from console.settings import Settings
from console.statics import read_statics
from console.visit import Console
from service_kit import metrics
from service_kit.byte_budget import ByteBudget
from service_kit.fair_queue import FairQueue
from service_kit.http.bodies import BodyLimits
from service_kit.http.connections import ConnectionLimits
from service_kit.http.listener import listen, port_of
from service_kit.http.middleware import RequestMiddleware, harden
from service_kit.http.overload import LoadShedder
from service_kit.tls import listener_tls, warn_without_tls
from service_kit.tracing import client_interceptors, open_spans

if TYPE_CHECKING:
    from service_kit.tracing.spans import Spans

MAX_COOKIES_BYTES = 32 << 10
"""Size limit of a header. Sessions with long tokens have several cookies, which are sent in one header."""

log = structlog.get_logger()


@asynccontextmanager
async def running_console(settings: Settings) -> AsyncIterator[int]:
    """Serve until the block ends. Yields the port. Raises OSError (RuntimeError for metrics) when a port is taken."""
    async with AsyncExitStack() as stack:
        spans = await stack.enter_async_context(open_spans("console", settings.otel_exporter_otlp_endpoint))
        tls = await stack.enter_async_context(listener_tls(settings.listener_tls))
        await stack.enter_async_context(metrics.exposed(settings.metrics_listen, tls))
        services = await stack.enter_async_context(open_services(settings, list(client_interceptors(spans))))
        middleware = RequestMiddleware()
        at_work = min(settings.max_requests_at_work, settings.max_requests)
        queue = FairQueue(at_work, settings.max_requests - at_work)
        app = application(settings, services, middleware, queue, spans)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        limits = ConnectionLimits(
            settings.head_seconds,
            settings.idle_seconds,
            settings.write_seconds,
            settings.max_connections,
            MAX_COOKIES_BYTES,
        )
        warn_without_tls(settings.listen, tls)
        context = None if tls is None else tls.context
        listener = await listen(runner, settings.listen, LoadShedder(queue), limits, tls=context)
        log.info("listener_started", address=f"{settings.listen.rpartition(':')[0]}:{port_of(listener)}")
        if settings.key is None:
            log.warning("key_missing", effect="everybody is signed out when this process ends")
        try:
            yield port_of(listener)
        finally:
            log.info("drain_started")
            listener.close()
            await middleware.drain(settings.drain_seconds)


def application(
    settings: Settings,
    services: Services,
    middleware: RequestMiddleware,
    queue: FairQueue,
    spans: "Spans | None" = None,
) -> web.Application:
    statics = read_statics()
    is_secure = settings.tls_cert is not None or (settings.url or "").startswith("https:")
    console = Console(
        services,
        open_cookies(settings.key, is_secure, settings.session_hours * 3600),
        Renderer(statics),
        ByteBudget(settings.max_bytes_under_way),
        BodyLimits(settings.max_body_bytes, settings.body_seconds, settings.body_bytes_per_second),
    )
    directory = Directory(services)
    issuer = issuer_of(settings)
    guard = Guard(console, directory, queue, settings.url, issuer)
    middlewares: list[Middleware] = [middleware.follow, guard.answer]
    if spans is not None:
        from service_kit.http.tracing import tracing

        middlewares.insert(0, tracing(spans))
    app = web.Application(client_max_size=settings.max_body_bytes, middlewares=middlewares)
    app.on_response_prepare.extend((protect, harden, guard.keep_renewed))
    health = Health(services.channels, middleware, queue)
    app.router.add_get("/health/live", health.live)
    app.router.add_get("/health/ready", health.ready)
    app.router.add_get("/static/{mark}/{name:.+}", statics.answer)
    SignIn(console, directory, settings.sign_in_file, issuer).add_to(app.router)
    for page in PAGES:
        app.router.add_routes(page.routes)
    return app
