"""The history of an app: pages of it, and where a rollback finds what to go back to."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from deploy_service.model import Deployment
from deploy_service.repository.deployments import COLUMNS, deployment_from
from service_kit.db import Connection
from service_kit.paging import Page


async def list_history(
    db: Connection, project_id: UUID, app_id: UUID, count: int, page: Page, *, newest_first: bool
) -> list[Deployment]:
    """A page of the whole history: a range of numbers, however long it is."""
    if newest_first:
        rows = await db.fetch(
            "SELECT"
            + COLUMNS
            + """
            FROM deployments d
            WHERE d.project_id = $1 AND d.app_id = $2 AND d.number <= $3::bigint AND d.number > $3 - $4
            ORDER BY d.number DESC
            """,
            project_id,
            app_id,
            count - page.offset,
            page.size,
        )
    else:
        rows = await db.fetch(
            "SELECT"
            + COLUMNS
            + """
            FROM deployments d
            WHERE d.project_id = $1 AND d.app_id = $2 AND d.number > $3::bigint AND d.number <= $3 + $4
            ORDER BY d.number
            """,
            project_id,
            app_id,
            page.offset,
            page.size,
        )
    return [deployment_from(row) for row in rows]


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
    """A page of what matches, and how many that is in all."""
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
    rows = await db.fetch(
        "SELECT" + COLUMNS + _MATCHES + order + " LIMIT $8 OFFSET $9", *values, page.size, page.offset
    )
    total: int = await db.fetchval("SELECT count(*)" + _MATCHES, *values)
    return [deployment_from(row) for row in rows], total


@dataclass(frozen=True, slots=True)
class Back:
    """Where one step back leads."""

    live: Deployment
    base: Deployment
    """What the step is taken from: what is live, or what that went back to, so that twice goes back two steps."""
    older: Deployment | None
    """The newest before it that was live there and is bad neither itself nor by its version's newest mark."""


# LATERAL and LIMIT: index lookups, however few rows there were when the statement was planned.
_BACK = (
    """
    WITH live AS (
        SELECT number, kind, source_deployment_id FROM deployments
        WHERE project_id = $1 AND app_id = $2 AND environment = $3 AND live_from IS NOT NULL AND live_to IS NULL
    ), base AS (
        SELECT coalesce(source.number, live.number) AS number FROM live
        LEFT JOIN LATERAL (
            SELECT number FROM deployments
            WHERE project_id = $1 AND id = live.source_deployment_id AND live.kind = 'rollback'
                AND app_id = $2 AND environment = $3
            LIMIT 1
        ) source ON true
    ), older AS (
        SELECT o.number FROM base JOIN LATERAL (
            SELECT number FROM deployments d
            WHERE d.project_id = $1 AND d.app_id = $2 AND d.environment = $3 AND d.number < base.number
                AND d.live_from IS NOT NULL AND d.health IS DISTINCT FROM 'bad'
                AND (
                    SELECT m.health FROM deployments m
                    WHERE m.project_id = d.project_id AND m.app_id = d.app_id AND m.version_id = d.version_id
                        AND m.health IS NOT NULL
                    ORDER BY m.marked_at DESC LIMIT 1
                ) IS DISTINCT FROM 'bad'
            ORDER BY d.number DESC LIMIT 1
        ) o ON true
    ), part AS (
        SELECT 'live' AS name, number FROM live
        UNION ALL SELECT 'base', number FROM base
        UNION ALL SELECT 'older', number FROM older
    )
    SELECT part.name AS part, """
    + COLUMNS
    + """
    FROM part JOIN LATERAL (
        SELECT * FROM deployments WHERE project_id = $1 AND app_id = $2 AND number = part.number LIMIT 1
    ) d ON true """
)


async def find_back(db: Connection, project_id: UUID, app_id: UUID, environment: str) -> Back | None:
    """None when nothing is live there."""
    rows = await db.fetch(_BACK, project_id, app_id, environment)
    parts = {row["part"]: deployment_from(row) for row in rows}
    return Back(parts["live"], parts["base"], parts.get("older")) if parts else None


async def find_in(
    db: Connection, project_id: UUID, app_id: UUID, environment: str, deployment_id: UUID
) -> Deployment | None:
    """A deployment of the app, when it is one of that environment."""
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
