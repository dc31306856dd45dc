"""The tables labels and label_moves: the version of each label, and all its moves."""

from collections.abc import Sequence
from uuid import UUID

from service_kit.array_parameters import Projects, by_caller
from service_kit.db import Connection, Row
from service_kit.errors import ServiceError
from service_kit.paging import Page, fetch_page
from workflow_service.errors import LabelNotFound, VersionNotFound, WorkflowNotFound
from workflow_service.model import Label, LabelMove, VersionRef

LabelKey = tuple[Projects, UUID, str]
"""The projects that the caller may read, a workflow's id, and a label's name."""


async def find_labeled(db: Connection, keys: Sequence[LabelKey]) -> list[int | ServiceError]:
    """For each key, the number of the label's version, or WorkflowNotFound or VersionNotFound."""
    sets, callers = by_caller(projects for projects, _, _ in keys)
    rows = await db.fetch(
        """
        SELECT k.place, l.number
        FROM unnest($2::int[], $3::uuid[], $4::text[]) WITH ORDINALITY AS k (caller, workflow_id, name, place)
        JOIN LATERAL (
            SELECT project_id, id FROM workflows
            WHERE project_id = ANY(($1::text[])[k.caller]::uuid[]) AND id = k.workflow_id AND deleted_at IS NULL LIMIT 1
        ) w ON true
        LEFT JOIN LATERAL (
            SELECT number FROM labels WHERE project_id = w.project_id AND workflow_id = w.id AND name = k.name LIMIT 1
        ) l ON true
        """,
        sets,
        callers,
        [workflow_id for _, workflow_id, _ in keys],
        [name for _, _, name in keys],
    )
    found = {row["place"]: row for row in rows}
    return [_number(found.get(place), key) for place, key in enumerate(keys, 1)]


def _number(row: Row | None, key: LabelKey) -> int | ServiceError:
    _, workflow_id, name = key
    if row is None:
        return WorkflowNotFound(workflow_id)
    return VersionNotFound(VersionRef("label", label=name)) if row["number"] is None else int(row["number"])


async def get_label(db: Connection, projects: Sequence[UUID], workflow_id: UUID, name: str) -> Label:
    """Raises WorkflowNotFound or LabelNotFound."""
    row = await db.fetchrow(
        """
        SELECT w.id AS workflow_id, l.name, v.id AS version_id, l.number, l.revision, l.moved_at, l.moved_by,
            l.moved_by_name
        FROM workflows w
        LEFT JOIN labels l ON l.project_id = w.project_id AND l.workflow_id = w.id AND l.name = $3
            AND l.number IS NOT NULL
        LEFT JOIN versions v ON v.project_id = l.project_id AND v.workflow_id = l.workflow_id AND v.number = l.number
        WHERE w.project_id = ANY($1) AND w.id = $2 AND w.deleted_at IS NULL
        """,
        projects,
        workflow_id,
        name,
    )
    if row is None:
        raise WorkflowNotFound(workflow_id)
    if row["name"] is None:
        raise LabelNotFound(name)
    return Label(**row)


async def list_labels(db: Connection, project_id: UUID, workflow_id: UUID, page: Page) -> tuple[list[Label], int]:
    """A page of labels by name, and the total number."""
    rows, total = await fetch_page(
        db,
        """
        SELECT counted.total, l.workflow_id, l.name, v.id AS version_id, l.number, l.revision, l.moved_at, l.moved_by,
            l.moved_by_name
        FROM (
            SELECT count(*) AS total FROM labels WHERE project_id = $1 AND workflow_id = $2 AND number IS NOT NULL
        ) counted
        LEFT JOIN (
            SELECT project_id, workflow_id, name, number, revision, moved_at, moved_by, moved_by_name
            FROM labels WHERE project_id = $1 AND workflow_id = $2 AND number IS NOT NULL
            ORDER BY name LIMIT $3 OFFSET $4
        ) l ON true
        LEFT JOIN versions v ON v.project_id = l.project_id AND v.workflow_id = l.workflow_id AND v.number = l.number
        ORDER BY l.name
        """,
        project_id,
        workflow_id,
        page.size,
        page.offset,
        key="name",
    )
    return [Label(**{key: value for key, value in row.items() if key != "total"}) for row in rows], total


async def list_moves(
    db: Connection, project_id: UUID, workflow_id: UUID, name: str, page: Page
) -> tuple[list[LabelMove], int]:
    """A page of a label's history, newest first, and the total number of moves. Raises LabelNotFound.

    The label's revision counts its moves.
    """
    rows = await db.fetch(
        """
        SELECT l.revision AS total, m.revision, v.id AS version_id, m.number, m.moved_at, m.moved_by, m.moved_by_name
        FROM labels l
        LEFT JOIN LATERAL (
            SELECT revision, number, moved_at, moved_by, moved_by_name FROM label_moves
            WHERE project_id = $1 AND workflow_id = $2 AND name = $3 AND revision <= l.revision - $5
            ORDER BY revision DESC LIMIT $4
        ) m ON true
        LEFT JOIN versions v ON v.project_id = $1 AND v.workflow_id = $2 AND v.number = m.number
        WHERE l.project_id = $1 AND l.workflow_id = $2 AND l.name = $3
        ORDER BY m.revision DESC
        """,
        project_id,
        workflow_id,
        name,
        page.size,
        page.offset,
    )
    if not rows:
        raise LabelNotFound(name)
    moves = [
        LabelMove(
            row["revision"], row["version_id"], row["number"], row["moved_at"], row["moved_by"], row["moved_by_name"]
        )
        for row in rows
        if row["revision"] is not None
    ]
    return moves, rows[0]["total"]


async def find_names(db: Connection, project_id: UUID, workflow_id: UUID, number: int) -> list[str]:
    """The labels that point to a version."""
    rows = await db.fetch(
        "SELECT name FROM labels WHERE project_id = $1 AND workflow_id = $2 AND number = $3 ORDER BY name",
        project_id,
        workflow_id,
        number,
    )
    return [row["name"] for row in rows]


async def count_other_names(db: Connection, project_id: UUID, workflow_id: UUID, name: str) -> int:
    """Number of other labels that the workflow has or had."""
    count: int = await db.fetchval(
        "SELECT count(*) FROM labels WHERE project_id = $1 AND workflow_id = $2 AND name <> $3",
        project_id,
        workflow_id,
        name,
    )
    return count


async def move_label(
    db: Connection, project_id: UUID, workflow_id: UUID, name: str, number: int | None, by: UUID, by_name: str
) -> None:
    """Point a label to a version, or remove it if `number` is None, and add the move to its history."""
    await db.execute(
        """
        WITH moved AS (
            INSERT INTO labels AS l (project_id, workflow_id, name, number, moved_by, moved_by_name)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (project_id, workflow_id, name) DO UPDATE
            SET number = $4, revision = l.revision + 1, moved_at = clock_timestamp(), moved_by = $5, moved_by_name = $6
            RETURNING l.project_id, l.workflow_id, l.name, l.revision, l.number, l.moved_at, l.moved_by,
                l.moved_by_name
        )
        INSERT INTO label_moves (
            project_id, workflow_id, name, revision, number, moved_at, moved_by, moved_by_name
        )
        SELECT project_id, workflow_id, name, revision, number, moved_at, moved_by, moved_by_name FROM moved
        """,
        project_id,
        workflow_id,
        name,
        number,
        by,
        by_name,
    )
