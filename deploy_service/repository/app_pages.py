"""Lists of apps."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from deploy_service.model import App
from deploy_service.repository.apps import APP, APP_COLUMNS, LIVE, apps_from
from deploy_service.repository.deployments import COLUMNS
from service_kit.db import Connection
from service_kit.paging import Page, fetch_page

SORTS = {"name": "a.name", "created_at": "a.created_at", "updated_at": "a.updated_at"}


@dataclass(frozen=True, slots=True)
class AppFilter:
    project_id: UUID
    environment: str
    """The project's default environment. `workflow_id` is the workflow that is live there."""
    workflow_id: UUID | None
    created_from: datetime | None
    created_to: datetime | None
    updated_from: datetime | None
    updated_to: datetime | None
    archived: bool | None
    """True selects archived apps, False others, None all."""


_MATCHES = """
    WHERE a.project_id = $1 AND a.deleted_at IS NULL
      AND ($3::uuid IS NULL OR EXISTS (
          SELECT FROM deployments l
          WHERE l.project_id = a.project_id AND l.app_id = a.id AND l.environment = $2 AND l.workflow_id = $3
            AND l.live_from IS NOT NULL AND l.live_to IS NULL
      ))
      AND ($4::timestamptz IS NULL OR a.created_at >= $4) AND ($5::timestamptz IS NULL OR a.created_at <= $5)
      AND ($6::timestamptz IS NULL OR a.updated_at >= $6) AND ($7::timestamptz IS NULL OR a.updated_at <= $7)
      AND ($8::boolean IS NULL OR (a.archived_at IS NOT NULL) = $8) """


async def list_apps(db: Connection, where: AppFilter, page: Page) -> tuple[list[App], int]:
    """A page of apps, and how many match in total. `page.order_by` must come from SORTS."""
    values = (
        where.project_id,
        where.environment,
        where.workflow_id,
        where.created_from,
        where.created_to,
        where.updated_from,
        where.updated_to,
        where.archived,
    )
    rows, total = await fetch_page(
        db,
        "WITH a AS MATERIALIZED (SELECT "
        + APP_COLUMNS
        + " FROM apps a"
        + _MATCHES
        + "ORDER BY "
        + page.order_by
        + " LIMIT $9 OFFSET $10), counted AS MATERIALIZED (SELECT count(*) AS total FROM apps a"
        + _MATCHES
        + ") SELECT counted.total,"
        + APP
        + COLUMNS
        + "FROM counted LEFT JOIN a ON true"
        + LIVE
        + "ORDER BY "
        + page.order_by.replace("id DESC", "a.id DESC"),
        *values,
        page.size,
        page.offset,
        key="found_app_id",
    )
    return list(apps_from(rows)), total
