"""Assembles the deploy service: pool, workflow channel, rollout worker, servicer, server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from deploy_service import MIGRATIONS, SCHEMA
from deploy_service.drivers import Driver, InstantDriver, LocalDriver, ScriptedDriver
from deploy_service.event_numbering import number_for_ever
from deploy_service.roles import ROLES, SERVICES
from deploy_service.rollout_waits import RolloutWaits
from deploy_service.rollouts import RolloutWorker
from deploy_service.route_watch import RouteWatches
from deploy_service.sealing import Sealer
from deploy_service.servicer import DeployServicer
from deploy_service.servicer.routing import RoutingServicer
from deploy_service.settings import Settings
from deploy_service.signals import Topic
from deploy_service.workflow_client import WorkflowClient
from service_kit import metrics
from service_kit.access.registry import AccessRegistry
from service_kit.channel import may_be_several, open_channel
from service_kit.db import Pool
from service_kit.idempotency.pruning import pruning
from service_kit.lifecycle import in_background
from service_kit.pb.flowpin.deploy.v1.deploy_pb2_grpc import add_DeployServiceServicer_to_server
from service_kit.pb.flowpin.routing.v1.routing_pb2_grpc import add_RoutingServiceServicer_to_server
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from service_kit.pools import open_pools
from service_kit.serving.health import open_check, usual_checks
from service_kit.serving.server import running_server
from service_kit.serving.watches import Watches
from service_kit.signals import Signals
from service_kit.tls import listener_tls
from service_kit.tracing import client_interceptors, open_spans

GATHER_SECONDS = 0.005
"""Seconds between two notifications. At busy times, several are combined into one."""
WORKFLOW = workflow_pb2.DESCRIPTOR.services_by_name["WorkflowService"]


@asynccontextmanager
async def running_deploy_service(settings: Settings, schema: str = SCHEMA) -> AsyncIterator[int]:
    """Serve until the block ends; yields the port. Raises AccessFileError, RuntimeError or ValueError."""
    if settings.workflow_token is None:
        raise RuntimeError("serve needs the setting workflow_token")
    registry = AccessRegistry(settings.access_file)
    sealer = Sealer.of(settings.variable_keys.get_secret_value() if settings.variable_keys else "")
    signals = Signals(Topic, GATHER_SECONDS)
    async with (
        open_spans("deploy_service", settings.otel_exporter_otlp_endpoint) as spans,
        listener_tls(settings.listener_tls) as tls,
        metrics.exposed(settings.metrics_listen, tls),
        open_pools(settings, schema) as pools,
        open_check(settings.database_url.get_secret_value(), schema, MIGRATIONS) as database,
        open_channel(
            settings.workflow_target,
            WORKFLOW,
            interceptors=client_interceptors(spans),
            tls=settings.channel_tls,
        ) as channel,
        pruning(pools.hot),
    ):
        driver = _driver(settings, pools.hot, signals)
        waits = RolloutWaits(pools.hot, signals, 0 if driver.immediate else settings.wait_seconds)
        routes = RouteWatches(pools, registry, signals, settings.apps_domain)
        watches = Watches(registry, signals)
        # With tracing, each question to the workflow service is a separate RPC, so that it has its own span.
        workflows = WorkflowClient(
            channel,
            settings.workflow_token.get_secret_value(),
            together=spans is None,
            has_replicas=may_be_several(settings.workflow_target),
        )

        def register(server: Any) -> None:
            servicer = DeployServicer(pools, workflows, driver, signals, waits, watches, sealer, settings.apps_domain)
            add_DeployServiceServicer_to_server(servicer, server)
            add_RoutingServiceServicer_to_server(RoutingServicer(pools, signals, routes, sealer), server)

        checks = usual_checks(database, registry)
        async with (
            in_background(signals.carry(settings.database_url.get_secret_value(), schema)),
            in_background(number_for_ever(pools.pages, signals)),
            working_rollouts(pools.hot, driver, signals, settings),
            running_server(
                settings, SERVICES, register, registry=registry, roles=ROLES, checks=checks, spans=spans, tls=tls
            ) as port,
        ):
            try:
                yield port
            finally:
                # End the streams before the server drains, which would wait for them.
                waits.close()
                routes.close()
                watches.close()


def _driver(settings: Settings, pool: Pool, signals: Signals) -> Driver:
    """Raises ValueError for an invalid script."""
    match settings.rollout_driver:
        case "scripted":
            return ScriptedDriver(settings.rollout_script)
        case "local":
            return LocalDriver(pool, signals, settings.rollout_run_service_seconds)
    return InstantDriver()


@asynccontextmanager
async def working_rollouts(pool: Pool, driver: Driver, signals: Signals, settings: Settings) -> AsyncIterator[None]:
    """Work on rollouts until the block ends."""
    worker = RolloutWorker(
        pool,
        driver,
        signals,
        lease_seconds=settings.rollout_lease_seconds,
        timeout_seconds=settings.rollout_timeout_seconds,
        takeover_seconds=settings.rollout_takeover_seconds,
    )
    async with in_background(worker.run()):
        yield
