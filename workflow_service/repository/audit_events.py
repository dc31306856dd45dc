"""The audit events of a whole project."""

from datetime import datetime
from uuid import UUID

from service_kit.db import Connection, Row
from service_kit.paging import Page, fetch_page


async def list_project_events(
    db: Connection, project_id: UUID, created_from: datetime | None, created_to: datetime | None, page: Page
) -> tuple[list[Row], int]:
    """A page of the audit events of the project's workflows, newest first, and the total number.

    Deleted workflows keep their rows, except drafts. So events of deleted drafts have no name.
    """
    return await fetch_page(
        db,
        """
        SELECT counted.total, e.*, e.subject_id::text AS workflow_id, w.name AS workflow_name
        FROM (
            SELECT count(*) AS total FROM audit_events
            WHERE project_id = $1
              AND ($2::timestamptz IS NULL OR created_at >= $2) AND ($3::timestamptz IS NULL OR created_at <= $3)
        ) counted
        LEFT JOIN (
            SELECT project_id, subject_id, id, action, target_id, actor_id, actor_name, token_id, request_id,
                created_at, details, number
            FROM audit_events
            WHERE project_id = $1
              AND ($2::timestamptz IS NULL OR created_at >= $2) AND ($3::timestamptz IS NULL OR created_at <= $3)
            ORDER BY created_at DESC, number DESC NULLS LAST, id DESC LIMIT $4 OFFSET $5
        ) e ON true
        LEFT JOIN workflows w ON w.project_id = e.project_id AND w.id = e.subject_id
        ORDER BY e.created_at DESC, e.number DESC NULLS LAST, e.id DESC
        """,
        project_id,
        created_from,
        created_to,
        page.size,
        page.offset,
    )
