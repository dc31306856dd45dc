"""The history of an app: its pages, and the source of a rollback."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from deploy_service.errors import AppNotFound
from deploy_service.model import Deployment
from deploy_service.repository.deployments import COLUMNS, deployment_from
from service_kit.db import Connection
from service_kit.paging import Page, fetch_page

# A page is a range of the app's deployment numbers, so each page costs the same in a history of any length.
_HISTORY = (
    "SELECT a.deployment_count AS total,"
    + COLUMNS
    + """
    FROM apps a
    LEFT JOIN deployments d ON d.project_id = a.project_id AND d.app_id = a.id AND {of_page}
    WHERE a.project_id = ANY($1) AND a.id = $2 AND a.deleted_at IS NULL
    ORDER BY d.number {order}
    """
)
_NEWEST_FIRST = _HISTORY.format(
    of_page="d.number <= a.deployment_count - $3::bigint AND d.number > a.deployment_count - $3 - $4", order="DESC"
)
_OLDEST_FIRST = _HISTORY.format(of_page="d.number > $3::bigint AND d.number <= $3 + $4", order="ASC")


async def list_history(
    db: Connection, projects: Sequence[UUID], app_id: UUID, page: Page, *, newest_first: bool
) -> tuple[list[Deployment], int]:
    """A page of the whole history, and the total number of deployments. Raises AppNotFound."""
    rows = await db.fetch(_NEWEST_FIRST if newest_first else _OLDEST_FIRST, projects, app_id, page.offset, page.size)
    if not rows:
        raise AppNotFound(app_id)
    return [deployment_from(row) for row in rows if row["id"] is not None], rows[0]["total"]


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    environment: str | None
    status: str | None
    live_at: datetime | None
    started_from: datetime | None
    started_to: datetime | None

    @property
    def is_open(self) -> bool:
        return self == HistoryFilter(None, None, None, None, None)


_MATCHES = """
    FROM deployments d
    WHERE d.project_id = $1 AND d.app_id = $2
      AND ($3::text IS NULL OR d.environment = $3)
      AND ($4::text IS NULL OR d.status = $4)
      AND ($5::timestamptz IS NULL OR (d.live_from <= $5 AND (d.live_to IS NULL OR d.live_to > $5)))
      AND ($6::timestamptz IS NULL OR d.started_at >= $6) AND ($7::timestamptz IS NULL OR d.started_at <= $7) """


async def search_history(
    db: Connection, project_id: UUID, app_id: UUID, where: HistoryFilter, page: Page, *, newest_first: bool
) -> tuple[list[Deployment], int]:
    """A page of the matching deployments, and their total number."""
    values = (
        project_id,
        app_id,
        where.environment,
        where.status,
        where.live_at,
        where.started_from,
        where.started_to,
    )
    order = "ORDER BY d.number DESC" if newest_first else "ORDER BY d.number"
    rows, total = await fetch_page(
        db,
        "SELECT counted.total,"
        + COLUMNS
        + "FROM (SELECT count(*) AS total"
        + _MATCHES
        + ") counted LEFT JOIN (SELECT"
        + COLUMNS
        + _MATCHES
        + order
        + " LIMIT $8 OFFSET $9) d ON true "
        + order,
        *values,
        page.size,
        page.offset,
    )
    return [deployment_from(row) for row in rows], total


@dataclass(frozen=True, slots=True)
class RollbackCandidates:
    """The live deployment, and the one that a rollback would deploy again."""

    live: Deployment
    base: Deployment
    """The deployment before which `older` was live."""
    older: Deployment | None
    """The deployment to which the live one rolls back. It skips deployments that are marked bad, or whose version's
    newest mark in the app is bad."""


# Finds the target of a deployment's rollback. For a deployment or promotion, it is the deployment that was live before.
# For a rollback, it is the target of its source, or, if its version was never live, the target of the deployment
# before. Each step goes to a lower number. LATERAL and LIMIT force index lookups, even if the table was small when
# Postgres planned the statement.
_BACK = (
    """
    WITH RECURSIVE walk AS (
        SELECT number, kind, source_deployment_id, 0 AS step, false AS found FROM deployments
        WHERE project_id = $1 AND app_id = $2 AND environment = $3 AND live_from IS NOT NULL AND live_to IS NULL
        UNION ALL
        SELECT next.number, next.kind, next.source_deployment_id, walk.step + 1,
            walk.kind <> 'rollback' AND next.health IS DISTINCT FROM 'bad' AND (
                SELECT m.health FROM deployments m
                WHERE m.project_id = $1 AND m.app_id = $2 AND m.version_id = next.version_id AND m.health IS NOT NULL
                ORDER BY m.mark_number DESC LIMIT 1
            ) IS DISTINCT FROM 'bad'
        FROM walk
        LEFT JOIN LATERAL (
            SELECT number, kind, source_deployment_id, health, version_id FROM deployments
            WHERE project_id = $1 AND id = walk.source_deployment_id AND walk.kind = 'rollback'
                AND app_id = $2 AND environment = $3 AND number < walk.number
            LIMIT 1
        ) source ON true
        JOIN LATERAL (
            SELECT number, kind, source_deployment_id, health, version_id FROM deployments
            WHERE project_id = $1 AND app_id = $2 AND environment = $3 AND live_from IS NOT NULL
                AND number < walk.number AND number <= coalesce(source.number, walk.number)
            ORDER BY number DESC LIMIT 1
        ) next ON true
        WHERE NOT walk.found
    ), part AS (
        SELECT 'live' AS name, number FROM walk WHERE step = 0
        UNION ALL SELECT 'older', number FROM walk WHERE found
        UNION ALL SELECT 'base', number FROM walk WHERE step = (SELECT step - 1 FROM walk WHERE found)
    )
    SELECT part.name AS part, """
    + COLUMNS
    + """
    FROM part JOIN LATERAL (
        SELECT"""
    + COLUMNS
    + """FROM deployments d WHERE d.project_id = $1 AND d.app_id = $2 AND d.number = part.number LIMIT 1
    ) d ON true """
)


async def find_rollback_candidates(
    db: Connection, project_id: UUID, app_id: UUID, environment: str
) -> RollbackCandidates | None:
    """None when nothing is live in the environment."""
    rows = await db.fetch(_BACK, project_id, app_id, environment)
    parts = {row["part"]: deployment_from(row) for row in rows}
    if not parts:
        return None
    return RollbackCandidates(parts["live"], parts.get("base", parts["live"]), parts.get("older"))


async def find_in(
    db: Connection, project_id: UUID, app_id: UUID, environment: str, deployment_id: UUID
) -> Deployment | None:
    """A deployment of the app. None unless it is in that environment."""
    row = await db.fetchrow(
        "SELECT"
        + COLUMNS
        + """
        FROM deployments d
        WHERE d.project_id = $1 AND d.app_id = $2 AND d.environment = $3 AND d.id = $4
        """,
        project_id,
        app_id,
        environment,
        deployment_id,
    )
    return deployment_from(row) if row else None
