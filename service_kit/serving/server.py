"""A gRPC server as every service here runs it: guarded, with health and reflection, drained before it stops."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import structlog
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

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
from service_kit.serving.guard import Guard
from service_kit.serving.health import LIVE, Check, status, watch
from service_kit.serving.health_servicer import HealthServicer
from service_kit.serving.open_rpcs import bounded
from service_kit.settings import ServiceSettings

if TYPE_CHECKING:
    from service_kit.tracing.spans import Spans

BATCH = batch_pb2.DESCRIPTOR.services_by_name["BatchService"]
CALLS_A_TURN = 4
"""That a principal begins in a turn of the loop. A busy server takes in six: 32 acceptors, five turns for each call."""
LEAVE_SECONDS = 0.5
"""How long callers get to send their next calls elsewhere before a server drains."""
MOST_WAITING = 2048
"""Calls that may wait at an acceptor. gRPC itself ends what comes on top, and says CANCELLED only; so it is far more
than callers get to that heed `max_calls_per_connection`, and as many as all are read of in a second or two."""
ENDING_STREAMS = 128
"""Calls of a connection that have ended, and that gRPC has not freed yet. It refuses the next ones, as UNAVAILABLE,
once it has more of them and of those under way: by default (1.85) as soon as a caller has all under way that it may."""
CALLER_PING_TIMEOUT_MS = 10_000
"""How long a caller may take to answer a ping, which it gets after 30 silent seconds. Then its connection is closed."""

Register: TypeAlias = Callable[[Any], None]
"""Adds servicers to what stands for the server (the generated code wants a server)."""

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
) -> AsyncIterator[int]:
    """Serve until the block ends; yields the port.

    Health answers for "" and for each of `checks` by name. The whole is SERVING while every check passes but
    `access` (a file that does not parse leaves the last good one in force) and `writes` (reads go on). `live` is
    SERVING to the end. Raises RuntimeError when the port is taken.
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
    )
    health_servicer = HealthServicer()
    for name in (LIVE, ACCEPTING):
        await health_servicer.set(name, status(True))
    for name in ("", *checks):
        await health_servicer.set(name, status(False))  # until its check has passed
    at_work = min(settings.max_calls_at_work, settings.max_calls)
    queue = FairQueue(at_work, settings.max_calls - at_work, calls_a_turn=CALLS_A_TURN, all_for_one=True)
    guard = Guard(registry, roles, queue, spans)
    guarded = guard.before(server)
    register(guarded)
    BatchServicer(guard, guarded).add_to(server)
    open_to_all: Any = Handlers(server, bounded)  # health and reflection answer without a token
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, open_to_all)
    names = [service.full_name for service in (*services, BATCH)]
    # Not by `enable_server_reflection`: it takes what is no grpc.aio.Server for a synchronous one, and each idle stream
    # then has one of the threads in which large documents are read.
    reflected = ReflectionServicer([*names, health.SERVICE_NAME, reflection.SERVICE_NAME])
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflected, open_to_all)
    port = await server.start(settings.listen)
    log.info("listening", address=f"{settings.listen.rpartition(':')[0]}:{port}")
    process_tuning.tune(gc_threshold=10_000)
    try:
        async with (
            in_background(server.keep()),
            in_background(registry.follow()),
            in_background(watch(health_servicer, checks)),
        ):
            yield port
    finally:
        log.info("draining")
        for name in ("", ACCEPTING, *checks):
            await health_servicer.set(name, status(False))
        await asyncio.sleep(min(LEAVE_SECONDS, settings.drain_seconds))
        await server.stop(settings.drain_seconds)
