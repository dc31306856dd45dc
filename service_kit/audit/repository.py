"""The table audit_events, which every service has in its own schema. Rows are only appended."""

from collections.abc import Sequence
from uuid import UUID

from service_kit.db import Connection, Row
from service_kit.paging import Page, fetch_page


async def insert_event(
    db: Connection,
    project_id: UUID,
    subject_id: UUID,
    event_id: UUID,
    action: str,
    target_id: UUID,
    actor_id: UUID,
    actor_name: str,
    token_id: str,
    request_id: str,
    details: bytes,
) -> None:
    await db.execute(
        """
        INSERT INTO audit_events (
            project_id, subject_id, id, action, target_id, actor_id, actor_name, token_id, request_id, details
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """,
        project_id,
        subject_id,
        event_id,
        action,
        target_id,
        actor_id,
        actor_name,
        token_id,
        request_id,
        details,
    )


async def list_events(db: Connection, projects: Sequence[UUID], subject_id: UUID, page: Page) -> tuple[list[Row], int]:
    """A page of a subject's audit events, newest first, and the total number.

    They are ordered by their numbers, which are assigned under the subject's lock. Older events have no number and are
    ordered by time.
    """
    return await fetch_page(
        db,
        """
        SELECT counted.total, e.*
        FROM (
            SELECT count(*) AS total FROM audit_events WHERE project_id = ANY($1) AND subject_id = $2
        ) counted
        LEFT JOIN (
            SELECT id, action, target_id, actor_id, actor_name, token_id, request_id, created_at, details, number
            FROM audit_events
            WHERE project_id = ANY($1) AND subject_id = $2
            ORDER BY number DESC NULLS LAST, created_at DESC, id DESC LIMIT $3 OFFSET $4
        ) e ON true
        ORDER BY e.number DESC NULLS LAST, e.created_at DESC, e.id DESC
        """,
        projects,
        subject_id,
        page.size,
        page.offset,
    )
