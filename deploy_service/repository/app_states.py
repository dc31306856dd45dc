"""Reads the state that deploys depend on, of many apps in one statement: the app, its live deployment, the version."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from deploy_service.errors import AppNotFound
from deploy_service.model import Deployment, Pin, Runtime
from deploy_service.repository.deployments import COLUMNS, deployment_from, pin_from
from service_kit.array_parameters import Projects, by_caller, columns
from service_kit.db import Connection, Row


@dataclass(frozen=True, slots=True)
class DeployTarget:
    """An app's project, and the pin of the version if it was ever live in the app."""

    project_id: UUID
    known: Pin | None


DeployTargetKey: TypeAlias = tuple[Projects, UUID, UUID | None, UUID | None]
"""The projects that the caller may read, an app, and optionally a workflow and a version."""

# LATERAL and LIMIT make both statements look up rows by the whole key, even if the table was small when Postgres
# planned them. Deleted rows are filtered after that, or Postgres might use the index of names, which covers only rows
# that are not deleted.
_TARGETS = """
    SELECT k.place, a.project_id AS app_project_id, d.*
    FROM unnest($2::int[], $3::uuid[], $4::uuid[], $5::uuid[])
        WITH ORDINALITY AS k (caller, app_id, workflow_id, version_id, place)
    JOIN LATERAL (
        SELECT project_id, id, deleted_at FROM apps
        WHERE project_id = ANY(($1::text[])[k.caller]::uuid[]) AND id = k.app_id LIMIT 1
    ) a ON a.deleted_at IS NULL
    LEFT JOIN LATERAL (
        SELECT workflow_id, workflow_name, workflow_description,
            version_id, version_number, version_description, version_digest, version_created_at, loadable_digest
        FROM deployments
        WHERE project_id = a.project_id AND app_id = a.id AND version_id = k.version_id
            AND workflow_id = k.workflow_id AND live_from IS NOT NULL
        ORDER BY number DESC LIMIT 1
    ) d ON true
"""


async def find_targets(db: Connection, keys: Sequence[DeployTargetKey]) -> list[DeployTarget | AppNotFound]:
    """The target or AppNotFound for each key, in order."""
    sets, callers = by_caller(projects for projects, *_ in keys)
    rows = await db.fetch(_TARGETS, sets, callers, *columns(key[1:] for key in keys))
    found = {row["place"]: row for row in rows}
    return [_target(found[place]) if place in found else AppNotFound(key[1]) for place, key in enumerate(keys, 1)]


def _target(row: Row) -> DeployTarget:
    return DeployTarget(row["app_project_id"], None if row["version_id"] is None else pin_from(row))


@dataclass(frozen=True, slots=True)
class AppState:
    """The state that a deploy of a version to an environment of an app depends on, at one moment."""

    revision: int
    """The app's revision. While it does not change, all fields except those of the runtime stay the same."""
    archived: bool
    live: Deployment | None
    mark: str | None
    """The version's newest mark in this app: good, bad, or None."""
    last_live: UUID | None
    """The newest deployment that had the version live there."""
    runtime: Runtime | None
    """The requested runtime, by default the default one."""
    live_in_watched: UUID | None
    """What is live in the watched environment."""
    live_runtime_lock: bytes | None = None
    """The digest of the current lock of the live deployment's runtime."""


AppStateKey: TypeAlias = tuple[UUID, UUID, str, UUID, UUID | None, str | None]
"""A project, an app, an environment, a version, optionally the requested runtime, and an environment to watch."""

_STANDINGS = (
    """
    SELECT k.place, a.revision, a.archived_at IS NOT NULL AS archived, mark.health AS mark, last.id AS last_live,
        r.id AS found_runtime_id, r.version, r.label, r.is_default, r.deprecated, r.lock_digest,
        lr.lock_digest AS live_runtime_lock, o.id AS live_in_watched, """
    + COLUMNS
    + """
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::text[])
        WITH ORDINALITY AS k (project_id, app_id, environment, version_id, runtime_id, watched, place)
    JOIN LATERAL (
        SELECT project_id, id, revision, archived_at, deleted_at FROM apps
        WHERE project_id = k.project_id AND id = k.app_id LIMIT 1
    ) a ON a.deleted_at IS NULL
    LEFT JOIN LATERAL (
        SELECT"""
    + COLUMNS
    + """FROM deployments d
        WHERE d.project_id = a.project_id AND d.app_id = a.id AND d.environment = k.environment
            AND d.live_from IS NOT NULL AND d.live_to IS NULL
        LIMIT 1
    ) d ON true
    LEFT JOIN LATERAL (
        SELECT id FROM deployments
        WHERE project_id = a.project_id AND app_id = a.id AND environment = k.watched
            AND live_from IS NOT NULL AND live_to IS NULL
        LIMIT 1
    ) o ON true
    LEFT JOIN LATERAL (
        SELECT health FROM deployments m
        WHERE m.project_id = a.project_id AND m.app_id = a.id AND m.version_id = k.version_id AND m.health IS NOT NULL
        ORDER BY m.mark_number DESC LIMIT 1
    ) mark ON true
    LEFT JOIN LATERAL (
        SELECT id FROM deployments l
        WHERE l.project_id = a.project_id AND l.app_id = a.id AND l.environment = k.environment
            AND l.version_id = k.version_id AND l.live_from IS NOT NULL
        ORDER BY l.number DESC LIMIT 1
    ) last ON true
    LEFT JOIN runtimes lr ON lr.id = d.runtime_id
    LEFT JOIN LATERAL (
        SELECT id, version, label, is_default, deprecated, lock_digest FROM runtimes
        WHERE k.runtime_id IS NOT NULL AND id = k.runtime_id
        UNION ALL
        SELECT id, version, label, is_default, deprecated, lock_digest FROM runtimes
        WHERE k.runtime_id IS NULL AND is_default
        LIMIT 1
    ) r ON true
"""
)


async def find_app_states(db: Connection, keys: Sequence[AppStateKey]) -> list[AppState | AppNotFound]:
    """The state or AppNotFound for each key, in order."""
    rows = {row["place"]: row for row in await db.fetch(_STANDINGS, *columns(keys))}
    return [_standing(rows[place]) if place in rows else AppNotFound(key[1]) for place, key in enumerate(keys, 1)]


def _standing(row: Row) -> AppState:
    runtime = None
    if row["found_runtime_id"] is not None:
        runtime = Runtime(
            row["found_runtime_id"],
            row["version"],
            row["label"],
            row["is_default"],
            row["deprecated"],
            row["lock_digest"],
        )
    live = deployment_from(row) if row["id"] is not None else None
    return AppState(
        row["revision"],
        row["archived"],
        live,
        row["mark"],
        row["last_live"],
        runtime,
        row["live_in_watched"],
        row["live_runtime_lock"],
    )
