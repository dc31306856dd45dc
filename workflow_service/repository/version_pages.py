"""Pages of a workflow's versions: any page costs the same, however long the history and however much of it is hidden.

Hidden are the deleted versions and, unless they are asked for, the archived ones. First the numbers on a page are
found, then exactly these are read.
"""

from collections.abc import Sequence
from uuid import UUID

from service_kit.db import Connection
from service_kit.paging import Page
from workflow_service.errors import WorkflowNotFound
from workflow_service.model import Version
from workflow_service.repository.versions import HEAD, version_from


async def list_versions(
    db: Connection, projects: Sequence[UUID], workflow_id: UUID, page: Page, *, newest_first: bool, with_archived: bool
) -> tuple[list[Version], int]:
    """A page without flow and flow_ui, and how many there are in all. Raises WorkflowNotFound."""
    workflow = await db.fetchrow(
        """
        SELECT project_id, version_count, archived_count, deleted_count FROM workflows
        WHERE project_id = ANY($1) AND id = $2 AND deleted_at IS NULL
        """,
        projects,
        workflow_id,
    )
    if workflow is None:
        raise WorkflowNotFound(workflow_id)
    project_id, count = workflow["project_id"], workflow["version_count"]
    hidden = workflow["deleted_count"] + (0 if with_archived else workflow["archived_count"])
    total = count - hidden
    if page.offset >= total:
        return [], total
    size = min(page.size, total - page.offset)
    older = total - page.offset - size if newest_first else page.offset
    numbers: Sequence[int] = range(older + 1, older + size + 1)
    if hidden:
        numbers = await _listed_numbers(db, project_id, workflow_id, count, older, size, with_archived=with_archived)
    # Each number by an ordered search, which only the primary key serves. For an equality, or a list of them, the
    # planner may take versions_digest_idx, and that reads the whole history.
    rows = await db.fetch(
        "SELECT"
        + HEAD
        + """
        FROM workflows w, unnest($3::integer[]) AS n (number), LATERAL (
            SELECT * FROM versions WHERE project_id = $1 AND workflow_id = $2 AND versions.number >= n.number
            ORDER BY versions.number LIMIT 1
        ) v
        WHERE w.project_id = $1 AND w.id = $2 AND v.deleted_at IS NULL AND (v.archived_at IS NULL OR $4)
        """,
        project_id,
        workflow_id,
        numbers,
        with_archived,
    )
    found = sorted(map(version_from, rows), key=lambda version: version.number, reverse=newest_first)
    return found, total


async def _listed_numbers(
    db: Connection, project_id: UUID, workflow_id: UUID, count: int, older: int, size: int, *, with_archived: bool
) -> list[int]:
    """Of `size` versions of the list, which has `older` ones before them; `count` is the latest number.

    Blocks of a thousand numbers are passed by how many each lists, and only those with a part of the page looked into.
    """
    rows = await db.fetch(
        """
        WITH blocks AS (
            SELECT b.block, CASE WHEN $6 THEN h.deleted ELSE h.archived | h.deleted END AS hidden
            FROM generate_series(0, ($3::integer - 1) / 1000) AS b (block)
            LEFT JOIN hidden_versions h ON h.project_id = $1 AND h.workflow_id = $2 AND h.block = b.block
        ), counted AS (
            SELECT block, hidden, 1000 - coalesce(bit_count(hidden), 0) AS listed FROM blocks
        ), passed AS (
            SELECT block, hidden, listed, sum(listed) OVER (ORDER BY block)::integer - listed AS before FROM counted
        ), chosen AS (
            SELECT block, hidden, before FROM passed WHERE before < $4::integer + $5::integer AND before + listed > $4
        )
        SELECT block * 1000 + place AS number FROM chosen, generate_series(1, 1000) AS place
        WHERE hidden IS NULL OR get_bit(hidden, place - 1) = 0
        ORDER BY number LIMIT $5 OFFSET $4 - (SELECT min(before) FROM chosen)
        """,
        project_id,
        workflow_id,
        count,
        older,
        size,
        with_archived,
    )
    return [row["number"] for row in rows]
