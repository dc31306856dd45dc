"""The tables deployments and flows: what was pinned is appended and never rewritten."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from uuid import UUID

from deploy_service.errors import DeploymentNotFound
from deploy_service.model import Deployment, Pin
from service_kit import audit
from service_kit.auth import Caller
from service_kit.db import Connection, Row, only
from service_kit.ids import new_id

COLUMNS = """
    d.project_id, d.app_id, d.number, d.id, d.environment, d.kind, d.reason,
    d.workflow_id, d.workflow_name, d.workflow_description,
    d.version_id, d.version_number, d.version_description, d.version_digest, d.version_created_at,
    d.runtime_id, d.runtime_version, d.runtime_label, d.config, d.warnings, d.created_by, d.created_by_name,
    d.status, d.started_at, d.finished_at, d.error_code, d.error_message, d.live_from, d.live_to,
    d.source_deployment_id, d.health, d.health_note """


@dataclass(frozen=True, slots=True)
class NewDeployment:
    project_id: UUID
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
    source_deployment_id: UUID | None
    flow: bytes | None
    """None when it has been kept already."""


_INSERT = (
    """
    WITH pinned AS (
        INSERT INTO flows (project_id, digest, flow) SELECT $1::uuid, $14::bytea, $24::json WHERE $24::json IS NOT NULL
        ON CONFLICT DO NOTHING
    ), ended AS (
        UPDATE deployments SET live_to = greatest(clock_timestamp(), live_from + interval '1 microsecond')
        WHERE $25::bool AND project_id = $1 AND app_id = $2 AND environment = $5::text
            AND live_from IS NOT NULL AND live_to IS NULL
        RETURNING live_to
    ), cut_over AS (
        SELECT CASE WHEN $25::bool THEN coalesce((SELECT live_to FROM ended), clock_timestamp()) END AS moment
    ), event AS (
        INSERT INTO audit_events (
            project_id, subject_id, id, action, target_id, actor_id, actor_name, token_id, request_id, details
        )
        SELECT $1::uuid, $2::uuid, $26::uuid, $27::text, $4::uuid, $21::uuid, $22::text, $28::text, $29::text, $30::json
        WHERE $27::text IS NOT NULL
    )
    INSERT INTO deployments AS d (
        project_id, app_id, number, id, environment, kind, reason,
        workflow_id, workflow_name, workflow_description,
        version_id, version_number, version_description, version_digest, version_created_at,
        runtime_id, runtime_version, runtime_label, config, warnings, created_by, created_by_name,
        source_deployment_id, status, started_at, finished_at, live_from
    )
    SELECT $1::uuid, $2::uuid, $3::int, $4::uuid, $5::text, $6::text, $7::text,
        $8::uuid, $9::text, $10::text,
        $11::uuid, $12::int, $13::text, $14::bytea, $15::timestamptz,
        $16::uuid, $17::text, $18::text, $19::json, $20::text[], $21::uuid, $22::text, $23::uuid,
        CASE WHEN $25::bool THEN 'succeeded' ELSE 'pending' END, coalesce(moment, clock_timestamp()), moment, moment
    FROM cut_over
    RETURNING """
    + COLUMNS
)


async def insert_deployment(
    db: Connection, caller: Caller, app_id: UUID, new: NewDeployment, action: str | None, *, live: bool
) -> Deployment:
    """Write a deployment down, keep its flow, and note `action` unless it is None, in one statement.

    With `live` it is live from then on, and what was live there until then. Otherwise it is pending.
    """
    pin = new.pin
    row = await db.fetchrow(
        _INSERT,
        new.project_id,
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
        caller.id,
        caller.name,
        new.source_deployment_id,
        new.flow,
        live,
        new_id(),
        action,
        caller.principal.token.id,
        caller.request_id,
        audit.details_json({"environment": new.environment, "version": f"v{pin.version_number}"}),
    )
    return deployment_from(only(row))


@dataclass(frozen=True, slots=True)
class Standing:
    """What a deploy of a version to an environment finds there."""

    live: Deployment | None
    mark: str | None
    """The version's newest mark in this app: good, bad, or None."""
    last_live: UUID | None
    """The newest deployment that had the version live there."""


async def find_standing(db: Connection, project_id: UUID, app_id: UUID, environment: str, version_id: UUID) -> Standing:
    row = only(
        await db.fetchrow(
            "SELECT"
            + COLUMNS
            + """,
                (SELECT m.health FROM deployments m
                 WHERE m.project_id = $1 AND m.app_id = $2 AND m.version_id = $4 AND m.health IS NOT NULL
                 ORDER BY m.marked_at DESC LIMIT 1
                ) AS mark,
                (SELECT l.id FROM deployments l
                 WHERE l.project_id = $1 AND l.app_id = $2 AND l.environment = $3 AND l.version_id = $4
                   AND l.live_from IS NOT NULL
                 ORDER BY l.number DESC LIMIT 1
                ) AS last_live
            FROM (SELECT) AS anyway
            LEFT JOIN deployments d ON d.project_id = $1 AND d.app_id = $2 AND d.environment = $3
                AND d.live_from IS NOT NULL AND d.live_to IS NULL
            """,
            project_id,
            app_id,
            environment,
            version_id,
        )
    )
    return Standing(deployment_from(row) if row["id"] else None, row["mark"], row["last_live"])


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
