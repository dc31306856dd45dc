"""The tables deployments and flows: what was pinned is appended and never rewritten."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from uuid import UUID

from deploy_service.errors import DeploymentNotFound
from deploy_service.model import Deployment, Pin
from service_kit.db import Connection, Row, only

COLUMNS = """
    d.project_id, d.app_id, d.number, d.id, d.environment, d.kind, d.reason,
    d.workflow_id, d.workflow_name, d.workflow_description,
    d.version_id, d.version_number, d.version_description, d.version_digest, d.version_created_at,
    d.runtime_id, d.runtime_version, d.runtime_label, d.config, d.warnings, d.created_by, d.created_by_name,
    d.status, d.started_at, d.finished_at, d.error_code, d.error_message, d.live_from, d.live_to,
    d.source_deployment_id, d.health, d.health_note """


async def insert_flow(db: Connection, project_id: UUID, digest: bytes, flow: bytes) -> None:
    """Keep a pinned flow; the same digest once."""
    await db.execute(
        "INSERT INTO flows (project_id, digest, flow) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        project_id,
        digest,
        flow,
    )


@dataclass(frozen=True, slots=True)
class NewDeployment:
    id: UUID
    number: int
    environment: str
    kind: str
    reason: str | None
    pin: Pin
    runtime_id: UUID
    runtime_version: str
    runtime_label: str
    config: bytes
    warnings: Sequence[str]
    created_by: UUID
    created_by_name: str
    source_deployment_id: UUID | None


async def insert_deployment(db: Connection, project_id: UUID, app_id: UUID, new: NewDeployment) -> Deployment:
    """Write down what is to be rolled out; it is pending."""
    pin = new.pin
    row = await db.fetchrow(
        """
        INSERT INTO deployments AS d (
            project_id, app_id, number, id, environment, kind, reason,
            workflow_id, workflow_name, workflow_description,
            version_id, version_number, version_description, version_digest, version_created_at,
            runtime_id, runtime_version, runtime_label, config, warnings, created_by, created_by_name,
            source_deployment_id
        )
        VALUES (
            $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23
        )
        RETURNING """
        + COLUMNS,
        project_id,
        app_id,
        new.number,
        new.id,
        new.environment,
        new.kind,
        new.reason,
        pin.workflow_id,
        pin.workflow_name,
        pin.workflow_description,
        pin.version_id,
        pin.version_number,
        pin.version_description,
        pin.version_digest,
        pin.version_created_at,
        new.runtime_id,
        new.runtime_version,
        new.runtime_label,
        new.config,
        new.warnings,
        new.created_by,
        new.created_by_name,
        new.source_deployment_id,
    )
    return deployment_from(only(row))


async def find_live(db: Connection, project_id: UUID, app_id: UUID, environment: str) -> Deployment | None:
    row = await db.fetchrow(
        "SELECT"
        + COLUMNS
        + """
        FROM deployments d
        WHERE d.project_id = $1 AND d.app_id = $2 AND d.environment = $3
          AND d.live_from IS NOT NULL AND d.live_to IS NULL
        """,
        project_id,
        app_id,
        environment,
    )
    return deployment_from(row) if row else None


async def find_pin(db: Connection, project_id: UUID, app_id: UUID, workflow_id: UUID, version_id: UUID) -> Pin | None:
    """The version as this app last had it live; None when it never had."""
    row = await db.fetchrow(
        """
        SELECT workflow_id, workflow_name, workflow_description,
               version_id, version_number, version_description, version_digest, version_created_at
        FROM deployments
        WHERE project_id = $1 AND app_id = $2 AND version_id = $3 AND workflow_id = $4 AND live_from IS NOT NULL
        ORDER BY number DESC LIMIT 1
        """,
        project_id,
        app_id,
        version_id,
        workflow_id,
    )
    return Pin(**row) if row else None


async def get_deployment(db: Connection, projects: Sequence[UUID], app_id: UUID, deployment_id: UUID) -> Deployment:
    """Raises DeploymentNotFound."""
    row = await db.fetchrow(
        "SELECT"
        + COLUMNS
        + """
        FROM deployments d JOIN apps a ON a.project_id = d.project_id AND a.id = d.app_id
        WHERE d.project_id = ANY($1) AND d.app_id = $2 AND d.id = $3 AND a.deleted_at IS NULL
        """,
        projects,
        app_id,
        deployment_id,
    )
    if row is None:
        raise DeploymentNotFound(deployment_id)
    return deployment_from(row)


async def find_app_of(db: Connection, projects: Sequence[UUID], deployment_id: UUID) -> tuple[UUID, UUID]:
    """The project and the app of a deployment. Raises DeploymentNotFound."""
    row = await db.fetchrow(
        """
        SELECT d.project_id, d.app_id
        FROM deployments d JOIN apps a ON a.project_id = d.project_id AND a.id = d.app_id
        WHERE d.project_id = ANY($1) AND d.id = $2 AND a.deleted_at IS NULL
        """,
        projects,
        deployment_id,
    )
    if row is None:
        raise DeploymentNotFound(deployment_id)
    return row["project_id"], row["app_id"]


_PIN = [field.name for field in fields(Pin)]
_OWN = [field.name for field in fields(Deployment) if field.name not in ("pin", "warnings")]


def deployment_from(row: Row) -> Deployment:
    return Deployment(
        pin=Pin(**{name: row[name] for name in _PIN}),
        warnings=tuple(row["warnings"]),
        **{name: row[name] for name in _OWN},
    )
