"""Runs the gRPC server of a service: guarded, with health and reflection, and drained before it stops."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import structlog
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2_grpc

from service_kit.access.file import Role
from service_kit.access.registry import AccessRegistry
from service_kit.channel import ACCEPTING, SHORTEST_PING_INTERVAL_MS
from service_kit.fair_queue import FairQueue
from service_kit.hotpath import process_tuning
from service_kit.hotpath.batch_servicer import BatchServicer
from service_kit.hotpath.handler_registry import Handlers
from service_kit.hotpath.server_group import ServerGroup
from service_kit.lifecycle import in_background
from service_kit.pb.flowpin.batch.v1 import batch_pb2
from service_kit.serving import reflection
from service_kit.serving.guard import Guard
from service_kit.serving.health import LIVE, Check, status, watch
from service_kit.serving.health_servicer import HealthServicer
from service_kit.serving.open_rpcs import bounded
from service_kit.settings import ServiceSettings
from service_kit.tls import ListenerTls, warn_without_tls

if TYPE_CHECKING:
    from service_kit.tracing.spans import Spans

BATCH = batch_pb2.DESCRIPTOR.services_by_name["BatchService"]
CALLS_A_TURN = 4
"""Calls that a principal begins per turn of the event loop. A busy server accepts six per turn: 32 acceptors, five
turns per call."""
CALLS_A_TURN_SHARED = 1
"""Like CALLS_A_TURN, while others call too. With few connections, few acceptors are in use, which accept two or three
calls per turn. If a principal began as many, its calls would wait in an acceptor, and those of others behind them: 80
to 200 ms with 8 to 32 connections, but 5 to 40 ms with one call per turn. It costs the busy caller 15 to 20 % of its
calls."""
LEAVE_SECONDS = 0.5
"""How long callers have to send their next calls elsewhere before a server drains."""
MOST_FOR_ONE = 512
"""Maximum running calls of a principal that calls alone. The first call of another one waits until they have ended."""
MOST_WAITING = 2048
"""Maximum number of calls that wait at an acceptor. gRPC itself ends further calls, only with CANCELLED. So the limit
is far above what callers reach that respect `max_calls_per_connection`, and as many as can be read in a second or
two."""
ENDING_STREAMS = 128
"""Maximum number of ended calls of a connection that gRPC has not freed yet. Beyond it, gRPC refuses calls with
UNAVAILABLE. A caller with the maximum number of calls in progress already reaches the default (1.85)."""
CALLER_PING_TIMEOUT_MS = 10_000
"""How long a caller may take to answer a ping after 30 silent seconds. After that, its connection is closed."""

Register: TypeAlias = Callable[[Any], None]
"""Adds servicers to the object that generated code uses as the server."""

log = structlog.get_logger()


@asynccontextmanager
async def running_server(
    settings: ServiceSettings,
    services: list[ServiceDescriptor],
    register: Register,
    *,
    registry: AccessRegistry,
    roles: Mapping[str, Role],
    checks: Mapping[str, Check],
    spans: "Spans | None" = None,
    tls: ListenerTls | None = None,
) -> AsyncIterator[int]:
    """Serve until the block ends. Yields the port.

    Health answers for "" (the whole service) and for each of `checks` by name. The whole is SERVING while all checks
    pass, except `access` (the last good file is used) and `writes` (reads continue). `live` is SERVING until the end.
    Raises RuntimeError if the port is taken.
    """
    server = ServerGroup(
        [
            ("grpc.max_concurrent_streams", settings.max_calls_per_connection),
            ("grpc.http2.max_deallocating_streams", ENDING_STREAMS),
            ("grpc.server.max_pending_requests", MOST_WAITING),
            ("grpc.server.max_pending_requests_hard_limit", MOST_WAITING),
            ("grpc.max_receive_message_length", min(settings.max_request_bytes, settings.max_message_bytes)),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.http2.ping_timeout_ms", CALLER_PING_TIMEOUT_MS),
            ("grpc.http2.min_ping_interval_without_data_ms", SHORTEST_PING_INTERVAL_MS),
            ("grpc.keepalive_permit_without_calls", 1),
        ],
        credentials=None if tls is None else tls.credentials,
    )
    health_servicer = HealthServicer()
    for name in (LIVE, ACCEPTING):
        await health_servicer.set(name, status(True))
    for name in ("", *checks):
        await health_servicer.set(name, status(False))  # until its check has passed
    at_work = min(settings.max_calls_at_work, settings.max_calls)
    queue = FairQueue(
        at_work,
        settings.max_calls - at_work,
        calls_a_turn=CALLS_A_TURN,
        calls_a_turn_shared=CALLS_A_TURN_SHARED,
        most_for_one=min(MOST_FOR_ONE, settings.max_calls),
    )
    guard = Guard(registry, roles, queue, spans)
    guarded = guard.before(server)
    register(guarded)
    BatchServicer(guard, guarded).add_to(server)
    open_to_all: Any = Handlers(server, bounded)  # health and reflection answer without a token
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, open_to_all)
    names = [service.full_name for service in (*services, BATCH)]
    reflection.add_to(open_to_all, [*names, health.SERVICE_NAME])
    warn_without_tls(settings.listen, tls)
    port = await server.start(settings.listen)
    log.info("listener_started", address=f"{settings.listen.rpartition(':')[0]}:{port}")
    process_tuning.tune(gc_thresholds=(1_000, 10, 100))
    try:
        async with (
            in_background(server.keep()),
            in_background(registry.follow()),
            in_background(watch(health_servicer, checks)),
        ):
            yield port
    finally:
        log.info("drain_started")
        for name in ("", ACCEPTING, *checks):
            await health_servicer.set(name, status(False))
        await asyncio.sleep(min(LEAVE_SECONDS, settings.drain_seconds))
        await server.stop(settings.drain_seconds)
