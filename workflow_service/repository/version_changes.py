"""Reads the events of a workflow's versions. Saves are in the table versions, other changes in version_changes.

A position is a pair: the latest version's number, and the number of the change since that save (0 is the save itself).
All changes are written under the workflow's lock, so changes that become visible later have later positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from service_kit.db import Connection
from workflow_service.errors import WorkflowNotFound
from workflow_service.model import Version
from workflow_service.repository.versions import HEAD, version_from

Place: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class VersionChange:
    place: Place
    kind: str
    label: str | None
    created_at: datetime
    version: Version | None
    """The version as it is now. None if a label was removed."""


async def find_last_place(db: Connection, projects: Sequence[UUID], workflow_id: UUID) -> tuple[UUID, Place]:
    """The project of a workflow, and the position of its last change. Raises WorkflowNotFound."""
    row = await db.fetchrow(
        """
        SELECT w.project_id, w.version_count, coalesce((
            SELECT max(c.place) FROM version_changes c
            WHERE c.project_id = w.project_id AND c.workflow_id = w.id AND c.version_count = w.version_count
        ), 0) AS place
        FROM workflows w WHERE w.project_id = ANY($1) AND w.id = $2 AND w.deleted_at IS NULL
        """,
        projects,
        workflow_id,
    )
    if row is None:
        raise WorkflowNotFound(workflow_id)
    return row["project_id"], (row["version_count"], row["place"])


_CHANGES = (
    """
    SELECT c.version_count, c.place, c.kind, c.label, c.created_at AS changed_at, """
    + HEAD
    + """
    FROM workflows w
    LEFT JOIN LATERAL (
        (
            SELECT number AS version_count, 0 AS place, 'saved' AS kind, number, NULL AS label, created_at
            FROM versions
            WHERE project_id = w.project_id AND workflow_id = w.id AND number > $3 ORDER BY number LIMIT $5
        )
        UNION ALL
        (
            SELECT version_count, place, kind, number, label, created_at
            FROM version_changes
            WHERE project_id = w.project_id AND workflow_id = w.id AND (version_count, place) > ($3, $4)
            ORDER BY version_count, place LIMIT $5
        )
        ORDER BY version_count, place LIMIT $5
    ) c ON true
    LEFT JOIN versions v ON v.project_id = w.project_id AND v.workflow_id = w.id AND v.number = c.number
    WHERE w.project_id = $1 AND w.id = $2 AND w.deleted_at IS NULL
    ORDER BY c.version_count, c.place
    """
)


async def list_changes(
    db: Connection, project_id: UUID, workflow_id: UUID, after: Place, most: int
) -> list[VersionChange]:
    """The next changes of a workflow. Raises WorkflowNotFound."""
    rows = await db.fetch(_CHANGES, project_id, workflow_id, *after, most)
    if not rows:
        raise WorkflowNotFound(workflow_id)
    return [
        VersionChange(
            (row["version_count"], row["place"]),
            row["kind"],
            row["label"],
            row["changed_at"],
            None if row["id"] is None else version_from(row),
        )
        for row in rows
        if row["kind"] is not None
    ]
