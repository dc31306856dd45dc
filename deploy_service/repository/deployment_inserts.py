"""Inserts deployments of many apps in one statement. They are live from the start if the driver needs no rollout."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

from deploy_service.model import Deployment, Pin
from deploy_service.repository.deployments import COLUMNS, deployment_from
from service_kit import audit
from service_kit.access.caller import Caller
from service_kit.array_parameters import columns
from service_kit.db import Connection
from service_kit.ids import new_id


@dataclass(frozen=True, slots=True)
class NewDeployment:
    """A deployment to write, with its author and request."""

    caller: Caller
    project_id: UUID
    app_id: UUID
    revision: int
    """The app's revision at the time of the decision."""
    environment: str
    kind: str
    reason: str | None
    pin: Pin
    flow: bytes | None
    """None if the flow is already stored."""
    loadable: bytes | None
    """The document that replicas load. None if it is already stored, or does not exist."""
    runtime_id: UUID
    runtime_version: str
    runtime_label: str
    runtime_digest: bytes | None
    config: bytes
    warnings: Sequence[str]
    source_deployment_id: UUID | None
    live: bool
    """True: the deployment is live immediately and ends the live one. False: it is pending."""
    action: str | None
    """Recorded in the app's history if set."""
    label: str | None = None
    """The label in the request, also recorded in the history."""
    id: UUID = field(default_factory=new_id)


Value: TypeAlias = Callable[[NewDeployment], object]

_COLUMNS: dict[str, tuple[str, Value]] = {
    "project_id": ("uuid", lambda new: new.project_id),
    "app_id": ("uuid", lambda new: new.app_id),
    "revision": ("bigint", lambda new: new.revision),
    "id": ("uuid", lambda new: new.id),
    "environment": ("text", lambda new: new.environment),
    "kind": ("text", lambda new: new.kind),
    "reason": ("text", lambda new: new.reason),
    "workflow_id": ("uuid", lambda new: new.pin.workflow_id),
    "workflow_name": ("text", lambda new: new.pin.workflow_name),
    "workflow_description": ("text", lambda new: new.pin.workflow_description),
    "version_id": ("uuid", lambda new: new.pin.version_id),
    "version_number": ("int", lambda new: new.pin.version_number),
    "version_description": ("text", lambda new: new.pin.version_description),
    "version_digest": ("bytea", lambda new: new.pin.version_digest),
    "version_created_at": ("timestamptz", lambda new: new.pin.version_created_at),
    "loadable_digest": ("bytea", lambda new: new.pin.loadable_digest),
    "runtime_id": ("uuid", lambda new: new.runtime_id),
    "runtime_version": ("text", lambda new: new.runtime_version),
    "runtime_label": ("text", lambda new: new.runtime_label),
    "runtime_digest": ("bytea", lambda new: new.runtime_digest),
    "config": ("json", lambda new: new.config),
    "warnings": ("json", lambda new: json.dumps(new.warnings, ensure_ascii=False).encode()),
    "source_deployment_id": ("uuid", lambda new: new.source_deployment_id),
    "live": ("bool", lambda new: new.live),
    "by": ("uuid", lambda new: new.caller.id),
    "by_name": ("text", lambda new: new.caller.name),
    "event_id": ("uuid", lambda new: new_id()),
    "action": ("text", lambda new: new.action),
    "token_id": ("text", lambda new: new.caller.principal.token.id),
    "request_id": ("text", lambda new: new.caller.request_id),
    "details": ("json", lambda new: _details(new)),
}
"""The columns of `new` below: the type and the value of each."""
_NAMES = ", ".join(_COLUMNS)
_ARRAYS = ", ".join(f"${number}::{kind}[]" for number, (kind, _) in enumerate(_COLUMNS.values(), 7))
_PINNED = """workflow_id, workflow_name, workflow_description,
        version_id, version_number, version_description, version_digest, version_created_at,
        loadable_digest, runtime_id, runtime_version, runtime_label, runtime_digest"""
"""The columns that never change. They have the same names in `new` and in the table."""

# Flows and loadables are stored in the order of their digests, so that two statements with the same digests cannot
# deadlock.
_INSERT = f"""
    WITH new AS (
        SELECT {_NAMES} FROM unnest({_ARRAYS}) AS new ({_NAMES})
    ), locked AS (
        SELECT a.project_id, a.id FROM new
        JOIN LATERAL (
            SELECT project_id, id, revision, deleted_at FROM apps
            WHERE project_id = new.project_id AND id = new.app_id LIMIT 1
            FOR NO KEY UPDATE SKIP LOCKED
        ) a ON a.revision = new.revision AND a.deleted_at IS NULL
    ), counted AS (
        UPDATE apps a SET deployment_count = a.deployment_count + 1, revision = a.revision + 1
        FROM locked
        WHERE a.project_id = locked.project_id AND a.id = locked.id
        RETURNING a.project_id, a.id, a.deployment_count AS number
    ), pinned AS (
        INSERT INTO flows (project_id, digest, flow)
        SELECT project_id, digest, flow
        FROM unnest($1::uuid[], $2::bytea[], $3::json[]) AS kept (project_id, digest, flow)
        ORDER BY project_id, digest
        ON CONFLICT DO NOTHING
    ), loaded AS (
        INSERT INTO loadables (project_id, digest, document)
        SELECT project_id, digest, document
        FROM unnest($4::uuid[], $5::bytea[], $6::json[]) AS kept (project_id, digest, document)
        ORDER BY project_id, digest
        ON CONFLICT DO NOTHING
    ), ended AS (
        UPDATE deployments d
        SET live_to = greatest(clock_timestamp(), live_from + interval '1 microsecond')
        FROM new JOIN counted c ON c.project_id = new.project_id AND c.id = new.app_id
        WHERE new.live AND d.project_id = c.project_id AND d.app_id = c.id AND d.environment = new.environment
            AND d.live_from IS NOT NULL AND d.live_to IS NULL
        RETURNING d.project_id, d.app_id, d.live_to
    ), deployment AS (
        SELECT {", ".join(f"new.{name}" for name in _COLUMNS)}, c.number,
            CASE WHEN new.live THEN coalesce(ended.live_to, clock_timestamp()) END AS moment
        FROM new JOIN counted c ON c.project_id = new.project_id AND c.id = new.app_id
        LEFT JOIN ended ON ended.project_id = new.project_id AND ended.app_id = new.app_id
    ), event AS (
        INSERT INTO audit_events (
            project_id, subject_id, id, action, target_id, actor_id, actor_name, token_id, request_id, details
        )
        SELECT new.project_id, new.app_id, event_id, action, new.id, by, by_name, token_id, request_id, details
        FROM new JOIN counted c ON c.project_id = new.project_id AND c.id = new.app_id
        WHERE action IS NOT NULL
    )
    INSERT INTO deployments AS d (
        project_id, app_id, number, id, environment, kind, reason, {_PINNED}, config, warnings,
        created_by, created_by_name,
        source_deployment_id, status, started_at, finished_at, live_from
    )
    SELECT project_id, app_id, number, id, environment, kind, reason, {_PINNED}, config,
        ARRAY(SELECT json_array_elements_text(warnings)),
        by, by_name,
        source_deployment_id, CASE WHEN live THEN 'succeeded' ELSE 'pending' END,
        coalesce(moment, clock_timestamp()), moment, moment
    FROM deployment
    RETURNING {COLUMNS}
"""


async def insert_deployments(db: Connection, news: Sequence[NewDeployment]) -> dict[UUID, Deployment]:
    """Insert deployments with their flows and audit events, in one statement that waits for no lock. Each must be of
    another app.

    Returns the written deployments by id. The app of any other has a newer revision than the decision, or another
    transaction has locked it.
    """
    if not news:
        return {}
    flows = [(new.project_id, new.pin.version_digest, new.flow) for new in news if new.flow is not None]
    loadables = [(new.project_id, new.pin.loadable_digest, new.loadable) for new in news if new.loadable is not None]
    kept = [columns(documents) if documents else ([], [], []) for documents in (flows, loadables)]
    rows = await db.fetch(_INSERT, *kept[0], *kept[1], *columns(map(_values, news)))
    return {row["id"]: deployment_from(row) for row in rows}


def _values(new: NewDeployment) -> tuple[object, ...]:
    return tuple(value(new) for _, value in _COLUMNS.values())


def _details(new: NewDeployment) -> bytes:
    details = {"environment": new.environment, "version": f"v{new.pin.version_number}"}
    return audit.details_json(details | ({"label": new.label} if new.label else {}))
