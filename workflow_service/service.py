"""The workflow service put together: pool, servicers, server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from service_kit import db, metrics
from service_kit.directory import Directory
from service_kit.idempotency.pruning import pruning
from service_kit.pb.flowpin.identity.v1.identity_pb2_grpc import add_IdentityServiceServicer_to_server
from service_kit.pb.flowpin.workflow.v1.workflow_pb2_grpc import add_WorkflowServiceServicer_to_server
from service_kit.server import running_server, usual_checks
from service_kit.tracing import open_spans
from workflow_service import MIGRATIONS, SCHEMA
from workflow_service.identity import IdentityServicer
from workflow_service.roles import ROLES, SERVICES
from workflow_service.servicer import WorkflowServicer
from workflow_service.settings import Settings


@asynccontextmanager
async def running_workflow_service(settings: Settings, schema: str = SCHEMA) -> AsyncIterator[int]:
    """Serve until the block ends; yields the port. Raises AccessFileError, or RuntimeError when the port is taken."""
    directory = Directory(settings.access_file)
    async with (
        open_spans("workflow_service", settings.otel_exporter_otlp_endpoint) as spans,
        metrics.exposed(settings.metrics_listen),
        db.open_pool(settings.database_url.get_secret_value(), schema, settings.pool_size) as pool,
        pruning(pool),
    ):

        def register(server: Any) -> None:
            add_WorkflowServiceServicer_to_server(
                WorkflowServicer(pool, settings.max_flow_bytes, settings.cache_bytes), server
            )
            add_IdentityServiceServicer_to_server(IdentityServicer(directory), server)

        checks = usual_checks(pool, MIGRATIONS, directory)
        async with running_server(
            settings, SERVICES, register, directory=directory, roles=ROLES, checks=checks, spans=spans
        ) as port:
            yield port
