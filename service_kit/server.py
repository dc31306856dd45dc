"""A gRPC server as every service here runs it: guarded, with health and reflection, drained before it stops."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import structlog
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer  # what health.aio is, under the name its types have
from grpc_reflection.v1alpha import reflection

from service_kit import memory
from service_kit.acceptors import Acceptors
from service_kit.access import Role
from service_kit.admission import Admission
from service_kit.batch_servicer import BatchServicer
from service_kit.channel import ACCEPTING
from service_kit.database_check import DatabaseCheck
from service_kit.db import Pool
from service_kit.directory import Directory
from service_kit.guard import Guard, Handlers
from service_kit.lifecycle import in_background
from service_kit.pb.flowpin.batch.v1 import batch_pb2
from service_kit.pb.flowpin.batch.v1.batch_pb2_grpc import add_BatchServiceServicer_to_server
from service_kit.settings import ServiceSettings

if TYPE_CHECKING:
    from service_kit.tracing.spans import Spans

BATCH = batch_pb2.DESCRIPTOR.services_by_name["BatchService"]
CHECK_SECONDS = 0.5
LEAVE_SECONDS = 0.5
"""How long callers get to send their next calls elsewhere before a server drains."""
MOST_WAITING = 2048
"""Calls that may wait at an acceptor. gRPC itself ends what comes on top, and says CANCELLED only; so it is far more
than callers get to that heed `max_calls_per_connection`, and as many as all are read of in a second or two."""
ENDING_STREAMS = 128
"""Calls of a connection that have ended, and that gRPC has not freed yet. It refuses the next ones, as UNAVAILABLE,
once it has more of them and of those under way: by default (1.85) as soon as a caller has all under way that it may."""
LIVE = "live"
"""The name under which health says that the process runs, whatever it cannot do."""

Register: TypeAlias = Callable[[Any], None]
"""Adds servicers to what stands for the server (the generated code wants a server)."""
Check: TypeAlias = Callable[[], Awaitable[str | None]]
"""Says what keeps a part of the service from working; None when nothing does."""

log = structlog.get_logger()


@asynccontextmanager
async def running_server(
    settings: ServiceSettings,
    services: list[ServiceDescriptor],
    register: Register,
    *,
    directory: Directory,
    roles: Mapping[str, Role],
    checks: Mapping[str, Check],
    spans: "Spans | None" = None,
) -> AsyncIterator[int]:
    """Serve until the block ends; yields the port.

    Health answers for "" and for each of `checks` by name. The whole is SERVING while every check passes but
    `access`: a file that does not parse leaves the last good one in force. `live` is SERVING to the end.
    Raises RuntimeError when the port is taken.
    """
    server = Acceptors(
        [
            ("grpc.max_concurrent_streams", settings.max_calls_per_connection),
            ("grpc.http2.max_deallocating_streams", ENDING_STREAMS),
            ("grpc.server.max_pending_requests", MOST_WAITING),
            ("grpc.server.max_pending_requests_hard_limit", MOST_WAITING),
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ],
    )
    health_servicer = HealthServicer()
    for name in (LIVE, ACCEPTING):
        await health_servicer.set(name, _status(True))
    for name in ("", *checks):
        await health_servicer.set(name, _status(False))  # until its check has passed
    guarded = Guard(directory, roles, Admission(settings.max_calls), spans).before(server)
    register(guarded)
    # Health and reflection answer without a token; of a batch, each call carries its own.
    open_to_all: Any = Handlers(server)
    add_BatchServiceServicer_to_server(BatchServicer(guarded.find), open_to_all)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, open_to_all)
    names = [service.full_name for service in (*services, BATCH)]
    reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], open_to_all)
    port = await server.start(settings.listen)
    log.info("listening", address=f"{settings.listen.rpartition(':')[0]}:{port}")
    memory.prepare(young=10_000)
    try:
        async with in_background(directory.follow()), in_background(_watch(health_servicer, checks)):
            yield port
    finally:
        log.info("draining")
        for name in ("", ACCEPTING, *checks):
            await health_servicer.set(name, _status(False))
        await asyncio.sleep(min(LEAVE_SECONDS, settings.drain_seconds))
        await server.stop(settings.drain_seconds)


def usual_checks(pool: Pool, migrations_folder: Path, directory: Directory) -> dict[str, Check]:
    """What every service's health stands on: `database` and `access`."""

    async def access() -> str | None:
        return directory.error

    return {"database": DatabaseCheck(pool, migrations_folder), "access": access}


async def _watch(servicer: HealthServicer, checks: Mapping[str, Check]) -> None:
    """Keep health true, for ever, and log each change of it."""
    problems: dict[str, str | None] = {}
    while True:
        for name, check in checks.items():
            problem = await check()
            if name not in problems or problem != problems[name]:
                log.warning("not_serving", part=name, why=problem) if problem else log.info("serving", part=name)
            problems[name] = problem
            await servicer.set(name, _status(problem is None))
        await servicer.set("", _status(all(problem is None for name, problem in problems.items() if name != "access")))
        await asyncio.sleep(CHECK_SECONDS)


def _status(serving: bool) -> "health_pb2.HealthCheckResponse.ServingStatus.ValueType":
    return health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
