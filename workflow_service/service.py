"""Assembles the workflow service: pool, servicers, server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from service_kit import metrics
from service_kit.access.registry import AccessRegistry
from service_kit.idempotency.pruning import pruning
from service_kit.lifecycle import in_background
from service_kit.pb.flowpin.identity.v1.identity_pb2_grpc import add_IdentityServiceServicer_to_server
from service_kit.pb.flowpin.workflow.v1.workflow_pb2_grpc import add_WorkflowServiceServicer_to_server
from service_kit.pools import open_pools
from service_kit.serving.health import open_check, usual_checks
from service_kit.serving.server import running_server
from service_kit.serving.watches import Watches
from service_kit.signals import Signals
from service_kit.tls import listener_tls
from service_kit.tracing import client_interceptors, open_spans
from service_kit.workers.pool import open_workers
from workflow_service import MIGRATIONS, SCHEMA
from workflow_service.deploy_client import open_deploy_client
from workflow_service.documents import Documents
from workflow_service.roles import ROLES, SERVICES
from workflow_service.servicer import WorkflowServicer
from workflow_service.servicer.identity import IdentityServicer
from workflow_service.settings import Settings
from workflow_service.signals import Topic

GATHER_SECONDS = 0.05
"""Seconds between two notifications. Each is a small transaction, and there may be thousands of saves a second."""


@asynccontextmanager
async def running_workflow_service(settings: Settings, schema: str = SCHEMA) -> AsyncIterator[int]:
    """Serve until the block ends; yields the port. Raises AccessFileError, or RuntimeError when the port is taken."""
    registry = AccessRegistry(settings.access_file)
    signals = Signals(Topic, GATHER_SECONDS)
    watches = Watches(registry, signals)
    async with (
        open_spans("workflow_service", settings.otel_exporter_otlp_endpoint) as spans,
        listener_tls(settings.listener_tls) as tls,
        metrics.exposed(settings.metrics_listen, tls),
        open_pools(settings, schema) as pools,
        open_check(settings.database_url.get_secret_value(), schema, MIGRATIONS) as database,
        pruning(pools.hot),
        open_deploy_client(settings.deploy_target, client_interceptors(spans), settings.channel_tls) as deploys,
        open_workers(settings.worker_limits) as workers,
    ):
        documents = Documents(workers, settings.max_flow_bytes)

        def register(server: Any) -> None:
            servicer = WorkflowServicer(pools, documents, deploys, signals, watches, settings.cache_bytes)
            add_WorkflowServiceServicer_to_server(servicer, server)
            add_IdentityServiceServicer_to_server(IdentityServicer(registry), server)

        checks = usual_checks(database, registry)
        async with (
            in_background(signals.carry(settings.database_url.get_secret_value(), schema)),
            running_server(
                settings, SERVICES, register, registry=registry, roles=ROLES, checks=checks, spans=spans, tls=tls
            ) as port,
        ):
            try:
                yield port
            finally:
                watches.close()  # end streams before the server drains, which would wait for them
