"""Lists of runs."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from run_service.model import Run
from run_service.repository.runs import run_from
from service_kit.array_parameters import Projects
from service_kit.db import Connection
from service_kit.paging import Page, fetch_page

SORTS = {"started_at": "started_at"}


@dataclass(frozen=True, slots=True)
class RunFilter:
    projects: Projects
    app_id: UUID
    deployment_id: UUID | None
    status: str | None
    started_from: datetime | None
    started_to: datetime | None


_MATCHES = """
    FROM runs
    WHERE project_id = ANY($1) AND app_id = $2
      AND ($3::uuid IS NULL OR deployment_id = $3)
      AND ($4::text IS NULL OR status = $4)
      AND ($5::timestamptz IS NULL OR started_at >= $5) AND ($6::timestamptz IS NULL OR started_at <= $6) """


async def list_runs(db: Connection, where: RunFilter, page: Page) -> tuple[list[Run], int]:
    """A page of runs, and how many match in total. `page.order_by` must come from SORTS."""
    rows, total = await fetch_page(
        db,
        """
        SELECT counted.total, page.project_id, page.id, page.app_id, page.environment, page.deployment_id,
            page.version_id, page.version_number, page.is_stream, page.started_at, page.access_key_id,
            page.access_key_preview, page.status, page.ended_at, page.error_code, page.error_message, page.error_node,
            page.user_id
        FROM (SELECT count(*) AS total"""
        + _MATCHES
        + """) counted LEFT JOIN (
            SELECT project_id, id, app_id, environment, deployment_id, version_id, version_number, is_stream,
                started_at, access_key_id, access_key_preview, status, ended_at, error_code, error_message, error_node,
                user_id
        """
        + _MATCHES
        + "ORDER BY "
        + page.order_by
        + " LIMIT $7 OFFSET $8) page ON true ORDER BY "
        + page.order_by,
        where.projects,
        where.app_id,
        where.deployment_id,
        where.status,
        where.started_from,
        where.started_to,
        page.size,
        page.offset,
    )
    return [run_from(row) for row in rows], total
