"""Reads routes, which routers receive: each app with its live deployments and rollouts, and the projects' keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service_kit.array_parameters import columns
from service_kit.db import Connection, Row


@dataclass(frozen=True, slots=True)
class RoutePin:
    """A deployment that is live or rolling out."""

    environment: str
    deployment_id: UUID
    number: int
    version_id: UUID
    version_number: int
    version_digest: bytes
    loadable_digest: bytes | None
    runtime_version: str
    runtime_digest: bytes | None
    config: bytes
    started_at: datetime
    is_live: bool
    variables_revision: int


@dataclass(frozen=True, slots=True)
class AppRoute:
    project_id: UUID
    app_id: UUID
    access_type: str
    archived: bool
    revision: int
    pins: tuple[RoutePin, ...]
    """Ordered by number, including those that are rolling out."""


@dataclass(frozen=True, slots=True)
class RouteKey:
    """An access key that is not revoked."""

    project_id: UUID
    id: UUID
    secret_hash: bytes
    preview: str
    expires_at: datetime | None


async def find_revisions(db: Connection, projects: Sequence[UUID]) -> dict[tuple[UUID, UUID], int]:
    """The revision of each app that is not deleted, by its project and id."""
    rows = await db.fetch(
        "SELECT project_id, id, revision FROM apps WHERE project_id = ANY($1) AND deleted_at IS NULL", projects
    )
    return {(row["project_id"], row["id"]): row["revision"] for row in rows}


# One statement reads an app's revision and deployments at the same moment. LATERAL makes two lookups by the whole key,
# in the indexes of live deployments and of rollouts.
_ROUTES = """
    SELECT a.project_id, a.id AS app_id, a.access_type, a.archived_at IS NOT NULL AS archived, a.revision, d.*, (
            SELECT coalesce(sum(v.revision), 0)::bigint FROM variable_revisions v
            WHERE v.project_id = a.project_id AND v.app_id = a.id AND v.environment IN ('', d.environment)
        ) AS variables_revision
    FROM unnest($1::uuid[], $2::uuid[]) AS k (project_id, app_id)
    JOIN LATERAL (
        SELECT project_id, id, access_type, archived_at, revision, deleted_at FROM apps
        WHERE project_id = k.project_id AND id = k.app_id LIMIT 1
    ) a ON a.deleted_at IS NULL
    LEFT JOIN LATERAL (
        SELECT environment, id AS deployment_id, number, version_id, version_number, version_digest, loadable_digest,
            runtime_version, runtime_digest, config, started_at, true AS is_live
        FROM deployments
        WHERE project_id = a.project_id AND app_id = a.id AND live_from IS NOT NULL AND live_to IS NULL
        UNION ALL
        SELECT environment, id, number, version_id, version_number, version_digest, loadable_digest,
            runtime_version, runtime_digest, config, started_at, false
        FROM deployments
        WHERE project_id = a.project_id AND app_id = a.id AND finished_at IS NULL
    ) d ON true
    ORDER BY a.project_id, a.id, d.number
"""


async def find_routes(db: Connection, keys: Sequence[tuple[UUID, UUID]]) -> list[AppRoute]:
    """The routes of these apps (project and id) that are not deleted."""
    if not keys:
        return []
    found: dict[tuple[UUID, UUID], list[Row]] = {}
    for row in await db.fetch(_ROUTES, *columns(keys)):
        found.setdefault((row["project_id"], row["app_id"]), []).append(row)
    return [_route(rows) for rows in found.values()]


def _route(rows: Sequence[Row]) -> AppRoute:
    first = rows[0]
    pins = tuple(
        RoutePin(**{name: row[name] for name in RoutePin.__slots__}) for row in rows if row["number"] is not None
    )
    return AppRoute(
        first["project_id"], first["app_id"], first["access_type"], first["archived"], first["revision"], pins
    )


async def find_keys(db: Connection, projects: Sequence[UUID]) -> list[RouteKey]:
    """All keys that are neither revoked nor expired, always in the same order."""
    rows = await db.fetch(
        """
        SELECT project_id, id, secret_hash, preview, expires_at FROM access_keys
        WHERE project_id = ANY($1) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
        ORDER BY project_id, id
        """,
        projects,
    )
    return [RouteKey(**row) for row in rows]
