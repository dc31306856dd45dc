"""The audit events of a whole project."""

from datetime import datetime
from uuid import UUID

from service_kit.db import Connection, Row
from service_kit.paging import Page, fetch_page


async def list_project_events(
    db: Connection, project_id: UUID, created_from: datetime | None, created_to: datetime | None, page: Page
) -> tuple[list[Row], int]:
    """A page of the audit events of the project's apps, newest first, and the total number.

    Deleted apps keep their rows, so no event is missed. Events of access keys are left out.
    """
    return await fetch_page(
        db,
        """
        SELECT counted.total, e.*
        FROM (
            SELECT count(*) AS total FROM audit_events e
            JOIN apps a ON a.project_id = e.project_id AND a.id = e.subject_id
            WHERE e.project_id = $1
              AND ($2::timestamptz IS NULL OR e.created_at >= $2) AND ($3::timestamptz IS NULL OR e.created_at <= $3)
        ) counted
        LEFT JOIN (
            SELECT e.id, action, target_id, actor_id, actor_name, token_id, request_id, e.created_at, details, number,
                a.id::text AS app_id, a.name AS app_name
            FROM audit_events e JOIN apps a ON a.project_id = e.project_id AND a.id = e.subject_id
            WHERE e.project_id = $1
              AND ($2::timestamptz IS NULL OR e.created_at >= $2) AND ($3::timestamptz IS NULL OR e.created_at <= $3)
            ORDER BY e.created_at DESC, number DESC NULLS LAST, e.id DESC LIMIT $4 OFFSET $5
        ) e ON true
        ORDER BY e.created_at DESC, e.number DESC NULLS LAST, e.id DESC
        """,
        project_id,
        created_from,
        created_to,
        page.size,
        page.offset,
    )
