"""Pages of a project's workflows."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service_kit.db import Connection
from service_kit.paging import Page, fetch_page
from workflow_service.model import Workflow
from workflow_service.repository.workflows import COLUMNS, HEAD, LATEST, workflow_from

SORTS = {"name": "w.name", "created_at": "w.created_at", "updated_at": "w.updated_at"}


@dataclass(frozen=True, slots=True)
class WorkflowFilter:
    project_id: UUID
    draft: bool | None
    name: str | None
    created_from: datetime | None
    created_to: datetime | None
    updated_from: datetime | None
    updated_to: datetime | None


_MATCHES = """
    WHERE w.project_id = $1 AND w.deleted_at IS NULL
      AND ($2::boolean IS NULL OR (w.version_count = 0) = $2)
      AND ($3::text IS NULL OR position($3 IN w.name) > 0)
      AND ($4::timestamptz IS NULL OR w.created_at >= $4) AND ($5::timestamptz IS NULL OR w.created_at <= $5)
      AND ($6::timestamptz IS NULL OR w.updated_at >= $6) AND ($7::timestamptz IS NULL OR w.updated_at <= $7) """


async def list_workflows(db: Connection, where: WorkflowFilter, page: Page) -> tuple[list[Workflow], int]:
    """A page of workflows without flow and flow_ui, and how many match in total. `page.order_by` must come from
    SORTS."""
    values = (
        where.project_id,
        where.draft,
        where.name,
        where.created_from,
        where.created_to,
        where.updated_from,
        where.updated_to,
    )
    rows, total = await fetch_page(
        db,
        # Only workflows on the page are joined with versions.
        "WITH w AS MATERIALIZED (SELECT "
        + COLUMNS
        + " FROM workflows w"
        + _MATCHES
        + "ORDER BY "
        + page.order_by
        + " LIMIT $8 OFFSET $9), counted AS MATERIALIZED (SELECT count(*) AS total FROM workflows w"
        + _MATCHES
        + ") SELECT counted.total,"
        + HEAD
        + "FROM counted LEFT JOIN w ON true"
        + LATEST
        + "ORDER BY "
        + page.order_by.replace("id DESC", "w.id DESC"),
        *values,
        page.size,
        page.offset,
    )
    return [workflow_from(row) for row in rows], total
