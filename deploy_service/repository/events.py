"""The table deployment_events: what happened to deployments, in the order in which it was committed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from deploy_service.model import Deployment
from deploy_service.repository.deployments import COLUMNS, deployment_from
from service_kit.db import Connection, Row

NUMBERED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Event:
    sequence: int
    kind: str
    health: str | None
    """The mark, if the event is about one."""
    created_at: datetime
    deployment: Deployment
    """The deployment as it is now."""


async def number_events(db: Connection) -> set[UUID]:
    """Number the committed events. Returns the apps whose events were numbered.

    Replicas lock a project's feed, so that a number is visible to readers before a greater one is assigned.
    """
    apps: set[UUID] = set()
    while projects := await db.fetch(
        """
        SELECT DISTINCT project_id FROM (
            SELECT project_id FROM deployment_events WHERE sequence IS NULL ORDER BY number LIMIT $1
        ) unnumbered
        """,
        NUMBERED_AT_ONCE,
    ):
        rows = await _number(db, [row["project_id"] for row in projects])
        apps.update(row["app_id"] for row in rows)
        if len(rows) < NUMBERED_AT_ONCE:
            break
    return apps


async def _number(db: Connection, projects: Sequence[UUID]) -> list[Row]:
    async with db.transaction():
        await db.execute(
            "INSERT INTO deployment_feeds (project_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING", projects
        )
        await db.execute(
            "SELECT project_id FROM deployment_feeds WHERE project_id = ANY($1) ORDER BY project_id FOR UPDATE",
            projects,
        )
        # This is a separate statement, so that it sees the numbers that the previous owner of the lock committed.
        return await db.fetch(
            """
            WITH unnumbered AS (
                SELECT project_id, number FROM deployment_events
                WHERE sequence IS NULL AND project_id = ANY($1) ORDER BY number LIMIT $2
            ), placed AS (
                SELECT u.project_id, u.number,
                    f.last_sequence + row_number() OVER (PARTITION BY u.project_id ORDER BY u.number) AS sequence
                FROM unnumbered u JOIN deployment_feeds f ON f.project_id = u.project_id
            ), counted AS (
                UPDATE deployment_feeds f SET last_sequence = p.last_sequence
                FROM (SELECT project_id, max(sequence) AS last_sequence FROM placed GROUP BY 1) p
                WHERE f.project_id = p.project_id
            )
            UPDATE deployment_events e SET sequence = p.sequence
            FROM placed p WHERE e.project_id = p.project_id AND e.number = p.number
            RETURNING e.app_id
            """,
            projects,
            NUMBERED_AT_ONCE,
        )


async def find_last_sequence(db: Connection, project_id: UUID) -> int:
    """The last number of a project's events. 0 without events."""
    last = await db.fetchval("SELECT last_sequence FROM deployment_feeds WHERE project_id = $1", project_id)
    return last or 0


_EVENTS = (
    """
    SELECT f.last_sequence, e.sequence, e.kind AS event_kind, e.health AS event_health, e.created_at, """
    + COLUMNS
    + """
    FROM deployment_feeds f
    LEFT JOIN LATERAL (
        SELECT project_id, sequence, kind, health, created_at, deployment_id FROM deployment_events
        WHERE project_id = f.project_id AND sequence > $2 AND sequence <= f.last_sequence {of_app}
        ORDER BY sequence LIMIT $3
    ) e ON true
    LEFT JOIN deployments d ON d.project_id = e.project_id AND d.id = e.deployment_id
    WHERE f.project_id = $1
    ORDER BY e.sequence
    """
)
_OF_PROJECT = _EVENTS.format(of_app="")
_OF_APP = _EVENTS.format(of_app="AND app_id = $4")


async def list_events(
    db: Connection, project_id: UUID, app_id: UUID | None, after: int, most: int
) -> tuple[list[Event], int]:
    """The next events of a project, or of one of its apps, and the number up to which the result is complete."""
    if app_id is None:
        rows = await db.fetch(_OF_PROJECT, project_id, after, most)
    else:
        rows = await db.fetch(_OF_APP, project_id, after, most, app_id)
    found = list(_events(rows))
    last = max(after, rows[0]["last_sequence"]) if rows else after
    return found, last if len(found) < most else found[-1].sequence


def _events(rows: Sequence[Row]) -> Iterator[Event]:
    for row in rows:
        if row["sequence"] is not None:
            yield Event(
                row["sequence"], row["event_kind"], row["event_health"], row["created_at"], deployment_from(row)
            )
