"""The workflow service put together: pool, servicers, server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from service_kit import metrics
from service_kit.access.registry import AccessRegistry
from service_kit.idempotency.pruning import pruning
from service_kit.pb.flowpin.identity.v1.identity_pb2_grpc import add_IdentityServiceServicer_to_server
from service_kit.pb.flowpin.workflow.v1.workflow_pb2_grpc import add_WorkflowServiceServicer_to_server
from service_kit.pools import open_pools
from service_kit.serving.health import open_check, usual_checks
from service_kit.serving.server import running_server
from service_kit.tracing import open_spans
from service_kit.workers.pool import open_workers
from workflow_service import MIGRATIONS, SCHEMA
from workflow_service.documents import Documents
from workflow_service.roles import ROLES, SERVICES
from workflow_service.servicer import WorkflowServicer
from workflow_service.servicer.identity import IdentityServicer
from workflow_service.settings import Settings


@asynccontextmanager
async def running_workflow_service(settings: Settings, schema: str = SCHEMA) -> AsyncIterator[int]:
    """Serve until the block ends; yields the port. Raises AccessFileError, or RuntimeError when the port is taken."""
    registry = AccessRegistry(settings.access_file)
    async with (
        open_spans("workflow_service", settings.otel_exporter_otlp_endpoint) as spans,
        metrics.exposed(settings.metrics_listen),
        open_pools(settings, schema) as pools,
        open_check(settings.database_url.get_secret_value(), schema, MIGRATIONS) as database,
        pruning(pools.hot),
        open_workers(settings.worker_limits) as workers,
    ):
        documents = Documents(workers, settings.max_flow_bytes)

        def register(server: Any) -> None:
            add_WorkflowServiceServicer_to_server(WorkflowServicer(pools, documents, settings.cache_bytes), server)
            add_IdentityServiceServicer_to_server(IdentityServicer(registry), server)

        checks = usual_checks(database, registry)
        async with running_server(
            settings, SERVICES, register, registry=registry, roles=ROLES, checks=checks, spans=spans
        ) as port:
            yield port
