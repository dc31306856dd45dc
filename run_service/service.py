"""Assembles the run service: pools, routes, replicas, the router of apps, servicer, server."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from run_service import MIGRATIONS, SCHEMA
from run_service.offline.offline_copy import OfflineCopy
from run_service.offline.sealed_folder import SealedFolder
from run_service.offline.writer import OfflineWriter
from run_service.parts import Parts
from run_service.pruning import prune_for_ever
from run_service.recorder import recording
from run_service.roles import ROLES, SERVICES
from run_service.router.calls import Calls
from run_service.router.server import running_router
from run_service.servicer import RunServicer
from run_service.settings import Settings
from run_service.supply.deploy_client import DeployClient
from run_service.supply.host_link import open_host_link
from run_service.supply.replicas import open_replicas
from run_service.supply.route_feed import RouteFeed
from run_service.supply.route_table import RouteTable
from run_service.supply.tasks import open_tasks
from run_service.supply.throwaways import Throwaways
from run_service.workflow_client import WorkflowClient
from service_kit import metrics
from service_kit.access.registry import AccessRegistry
from service_kit.channel import open_channel
from service_kit.ids import new_id
from service_kit.lifecycle import in_background
from service_kit.pb.flowpin.routing.v1 import routing_pb2
from service_kit.pb.flowpin.run.v1.run_pb2_grpc import add_RunServiceServicer_to_server
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from service_kit.pools import open_pools
from service_kit.sealing import KeyRing
from service_kit.serving.health import Check, open_check, usual_checks
from service_kit.serving.server import running_server
from service_kit.tls import listener_tls
from service_kit.tracing import open_spans

WORKFLOW = workflow_pb2.DESCRIPTOR.services_by_name["WorkflowService"]
ROUTING = routing_pb2.DESCRIPTOR.services_by_name["RoutingService"]

SECONDS_A_DAY = 86400
LONGEST_RUNS = 2
"""A run that has taken this many times the maximum run time is lost."""


@dataclass(frozen=True, slots=True)
class RunningPorts:
    apps: int
    grpc: int


@asynccontextmanager
async def running_run_service(settings: Settings, schema: str = SCHEMA) -> AsyncIterator[RunningPorts]:
    """Serve until the block ends; yields the ports. Raises AccessFileError or RuntimeError."""
    if settings.deploy_token is None:
        raise RuntimeError("serve needs the setting deploy_token")
    registry = AccessRegistry(settings.access_file)
    limits = settings.supply_limits
    table, copy = RouteTable(), _offline_copy(settings)
    async with (
        open_spans("run_service", settings.otel_exporter_otlp_endpoint) as spans,
        listener_tls(settings.listener_tls) as tls,
        metrics.exposed(settings.metrics_listen, tls),
        open_pools(settings, schema) as pools,
        open_check(settings.database_url.get_secret_value(), schema, MIGRATIONS) as database,
        open_channel(settings.deploy_target, ROUTING, tls=settings.channel_tls) as channel,
        open_channel(settings.workflow_target, WORKFLOW, tls=settings.channel_tls) as workflow_channel,
        recording(pools.hot, LONGEST_RUNS * (limits.run_seconds + limits.grace_seconds)) as recorder,
        open_host_link(settings.host_socket, limits.grace_seconds) as hosts,
        open_tasks() as tasks,
    ):
        deploys = DeployClient(channel, settings.deploy_token.get_secret_value(), copy)
        async with open_replicas(deploys, hosts, settings.runtimes, limits) as replicas:
            name = f"{settings.listen} (process {os.getpid()})"
            writer = OfflineWriter(table, deploys, copy) if copy else None

            def in_force() -> None:
                replicas.apply(table.routes)
                if writer is not None:
                    writer.changed()

            feed = RouteFeed(deploys, new_id(), name, table, in_force)
            checks: dict[str, Check] = {"routes": feed.problem, "host": hosts.problem}
            if copy is not None:
                checks["offline_copy"] = copy.problem
                tasks.start(feed.fall_back(copy))
            calls = Calls(recorder, limits.run_seconds)
            parts = Parts(
                table,
                replicas,
                calls,
                Throwaways(hosts, tasks, settings.max_tests),
                deploys,
                WorkflowClient(workflow_channel),
                settings.runtimes,
                limits.run_seconds,
                settings.max_body_bytes,
            )

            def register(server: Any) -> None:
                add_RunServiceServicer_to_server(RunServicer(pools, parts), server)

            async with (
                in_background(writer.write()) if writer else nullcontext(),
                in_background(prune_for_ever(pools.hot, settings.kept_days * SECONDS_A_DAY)),
                in_background(feed.follow()),
                in_background(feed.acknowledge()),
                running_router(settings, table, replicas, calls, checks, feed.leave, spans, tls) as apps_port,
                running_server(
                    settings.model_copy(update={"listen": settings.grpc_listen}),
                    SERVICES,
                    register,
                    registry=registry,
                    roles=ROLES,
                    checks=usual_checks(database, registry) | checks,
                    spans=spans,
                    tls=tls,
                ) as grpc_port,
            ):
                yield RunningPorts(apps_port, grpc_port)


def _offline_copy(settings: Settings) -> OfflineCopy | None:
    """Raises RuntimeError or ValueError."""
    if settings.offline_folder is None:
        return None
    if settings.offline_keys is None:
        raise RuntimeError("the setting offline_folder needs offline_keys")
    keys = KeyRing.of(settings.offline_keys.get_secret_value(), "offline_keys", b"offline copy")
    folder = SealedFolder(settings.offline_folder, keys, settings.offline_bytes)
    return OfflineCopy(folder, settings.offline_bytes)
