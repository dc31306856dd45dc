"""The table deployments. Pins are written once; only the outcome is written later."""

from collections.abc import Sequence
from dataclasses import fields
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
    d.source_deployment_id, d.health, d.health_note, d.loadable_digest, d.rollout_notes, d.runtime_digest,
    d.drained_at, d.drained_calls, d.killed_calls """


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


async def find_deployment(
    db: Connection, projects: Sequence[UUID], app_id: UUID, deployment_id: UUID
) -> Deployment | None:
    """The deployment of an app that may be deleted."""
    row = await db.fetchrow(
        "SELECT" + COLUMNS + "FROM deployments d WHERE d.project_id = ANY($1) AND d.app_id = $2 AND d.id = $3",
        projects,
        app_id,
        deployment_id,
    )
    return deployment_from(row) if row else None


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
_OWN = [field.name for field in fields(Deployment) if field.name not in ("pin", "warnings", "rollout_notes")]


def deployment_from(row: Row) -> Deployment:
    return Deployment(
        pin=pin_from(row),
        warnings=tuple(row["warnings"]),
        rollout_notes=tuple(row["rollout_notes"]),
        **{name: row[name] for name in _OWN},
    )


def pin_from(row: Row) -> Pin:
    return Pin(**{name: row[name] for name in _PIN})


async def mark(
    db: Connection, project_id: UUID, app_id: UUID, deployment_id: UUID, health: str, note: str | None
) -> None:
    """The caller must have locked the app. This gives marks an order: a trigger numbers them by the app's revision."""
    await db.execute(
        """
        UPDATE deployments SET health = $4, health_note = $5, marked_at = clock_timestamp()
        WHERE project_id = $1 AND app_id = $2 AND id = $3
        """,
        project_id,
        app_id,
        deployment_id,
        health,
        note,
    )


async def find_outcome(
    db: Connection, projects: Sequence[UUID], app_id: UUID, deployment_id: UUID
) -> tuple[bool, bool]:
    """Whether the deployment has ended, and whether there is nothing more to wait for."""
    row = only(
        await db.fetchrow(
            """
            SELECT finished_at IS NOT NULL AS is_finished, live_from IS NULL OR routed_at IS NOT NULL AS is_routed
            FROM deployments WHERE project_id = ANY($1) AND app_id = $2 AND id = $3
            """,
            projects,
            app_id,
            deployment_id,
        )
    )
    return row["is_finished"], row["is_finished"] and row["is_routed"]


async def note_routed(db: Connection, project_id: UUID, deployment_id: UUID, notes: Sequence[str]) -> None:
    """Record that routers are no longer waited for."""
    await db.execute(
        """
        UPDATE deployments SET routed_at = clock_timestamp(), rollout_notes = $3
        WHERE project_id = $1 AND id = $2 AND live_from IS NOT NULL
        """,
        project_id,
        deployment_id,
        notes,
    )


async def note_drained(db: Connection, project_id: UUID, deployment_id: UUID, drained: int, killed: int) -> bool:
    """Record once how the calls of a replaced deployment ended. Returns whether the deployment exists."""
    found = await db.fetchval(
        """
        WITH noted AS (
            UPDATE deployments SET drained_at = clock_timestamp(), drained_calls = $3, killed_calls = $4
            WHERE project_id = $1 AND id = $2 AND live_to IS NOT NULL AND drained_at IS NULL
        )
        SELECT EXISTS (SELECT FROM deployments WHERE project_id = $1 AND id = $2)
        """,
        project_id,
        deployment_id,
        drained,
        killed,
    )
    return bool(found)
