"""The deploy service put together: pool, workflow channel, rollout worker, servicer, server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from deploy_service import MIGRATIONS, SCHEMA
from deploy_service.drivers import Driver, InstantDriver, ScriptedDriver
from deploy_service.pins import Workflows
from deploy_service.roles import ROLES, SERVICES
from deploy_service.rollouts import RolloutWorker
from deploy_service.servicer import DeployServicer
from deploy_service.settings import Settings
from service_kit import db, metrics
from service_kit.channel import open_channel
from service_kit.directory import Directory
from service_kit.idempotency.pruning import pruning
from service_kit.lifecycle import in_background
from service_kit.pb.flowpin.deploy.v1.deploy_pb2_grpc import add_DeployServiceServicer_to_server
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from service_kit.server import running_server, usual_checks
from service_kit.tracing import client_interceptors, open_spans

WORKFLOW = workflow_pb2.DESCRIPTOR.services_by_name["WorkflowService"]


@asynccontextmanager
async def running_deploy_service(settings: Settings, schema: str = SCHEMA) -> AsyncIterator[int]:
    """Serve until the block ends; yields the port. Raises AccessFileError, RuntimeError or ValueError."""
    if settings.workflow_token is None:
        raise RuntimeError("serve needs the setting workflow_token")
    directory = Directory(settings.access_file)
    driver: Driver = InstantDriver()
    if settings.rollout_driver == "scripted":
        driver = ScriptedDriver(settings.rollout_script)
    async with (
        open_spans("deploy_service", settings.otel_exporter_otlp_endpoint) as spans,
        metrics.exposed(settings.metrics_listen),
        db.open_pool(settings.database_url.get_secret_value(), schema, settings.pool_size) as pool,
        open_channel(settings.workflow_target, WORKFLOW, interceptors=client_interceptors(spans)) as channel,
        working_rollouts(pool, driver, settings),
        pruning(pool),
    ):
        # Traced, each question is an RPC with a span of its own.
        workflows = Workflows(channel, settings.workflow_token.get_secret_value(), together=spans is None)

        def register(server: Any) -> None:
            servicer = DeployServicer(pool, workflows, driver, settings.apps_domain)
            add_DeployServiceServicer_to_server(servicer, server)

        checks = usual_checks(pool, MIGRATIONS, directory)
        async with running_server(
            settings, SERVICES, register, directory=directory, roles=ROLES, checks=checks, spans=spans
        ) as port:
            yield port


@asynccontextmanager
async def working_rollouts(pool: db.Pool, driver: Driver, settings: Settings) -> AsyncIterator[None]:
    """Work on rollouts until the block ends."""
    worker = RolloutWorker(
        pool,
        driver,
        lease=timedelta(seconds=settings.rollout_lease_seconds),
        timeout=timedelta(seconds=settings.rollout_timeout_seconds),
        takeover=timedelta(seconds=settings.rollout_takeover_seconds),
    )
    async with in_background(worker.run()):
        yield
