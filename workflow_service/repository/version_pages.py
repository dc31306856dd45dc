"""Pages of a workflow's versions: any page costs the same, however long the history and however much of it is hidden.

Hidden are the deleted versions and, unless they are asked for, the archived ones. The numbers on a page are found
first, and exactly these are read.
"""

from collections.abc import Sequence
from uuid import UUID

from service_kit.db import Connection, Row
from service_kit.paging import Page
from workflow_service.errors import WorkflowNotFound
from workflow_service.model import Version
from workflow_service.repository.versions import HEAD, HEAD_COLUMNS, version_from

# Of $4 versions of a list that has $3 older ones. None of the list is hidden:
_NUMBERS = "generate_series($3::integer + 1, $3 + $4::integer) AS n (number)"
# Some are: counted is from the end of the list that is nearer, in blocks of a thousand numbers, of which the last holds
# those up to the latest number $8. Blocks $6 to $7 are passed by how many each lists; $3 are to be passed in all. In
# those that have a part of the page no more is looked at than what is passed, the page, and as much as is hidden.
_LISTED_NUMBERS = """(
    WITH blocks AS (
        SELECT b.block, least(1000, $8::integer - b.block * 1000) AS held,
            CASE WHEN $5 THEN h.deleted ELSE h.archived | h.deleted END AS hidden
        FROM generate_series($6::integer, $7::integer) AS b (block)
        LEFT JOIN hidden_versions h ON h.project_id = $1 AND h.workflow_id = $2 AND h.block = b.block
    ), counted AS (
        SELECT block, held, hidden, held - coalesce(bit_count(hidden), 0)::integer AS listed FROM blocks
    ), passed AS (
        SELECT block, held, hidden, listed, sum(listed) OVER (ORDER BY block {order})::integer - listed AS before
        FROM counted
    ), chosen AS (
        SELECT block, held, hidden, before, greatest($3::integer - before, 0) + $4::integer + held - listed AS enough
        FROM passed WHERE before < $3 + $4 AND before + listed > $3
    )
    SELECT block * 1000 + place AS number FROM chosen, {places} AS place
    WHERE hidden IS NULL OR get_bit(hidden, place - 1) = 0
    ORDER BY number {order} LIMIT $4 OFFSET $3 - (SELECT min(before) FROM chosen)
) n"""
_FROM_OLDEST = _LISTED_NUMBERS.format(order="ASC", places="generate_series(1, least(held, enough))")
_FROM_NEWEST = _LISTED_NUMBERS.format(order="DESC", places="generate_series(greatest(1, held - enough + 1), held)")
# Each number by an ordered search, which only the primary key serves. For an equality, or a list of them, the planner
# may take versions_digest_idx, and that reads the whole history.
_VERSIONS = f""", LATERAL (
        SELECT {HEAD_COLUMNS}, deleted_at FROM versions
        WHERE project_id = $1 AND workflow_id = $2 AND versions.number >= n.number
        ORDER BY versions.number LIMIT 1
    ) v, workflows w
    WHERE w.project_id = $1 AND w.id = $2 AND v.deleted_at IS NULL AND (v.archived_at IS NULL OR $5)"""
_COUNTS = "version_count", "archived_count", "deleted_count"
_PAGE, _PAGE_FROM_OLDEST, _PAGE_FROM_NEWEST = (
    "SELECT" + HEAD + ", w.version_count, w.archived_count, w.deleted_count FROM " + numbers + _VERSIONS
    for numbers in (_NUMBERS, _FROM_OLDEST, _FROM_NEWEST)
)


async def list_versions(
    db: Connection, projects: Sequence[UUID], workflow_id: UUID, page: Page, *, newest_first: bool, with_archived: bool
) -> tuple[list[Version], int]:
    """A page without flow and flow_ui, and how many there are in all. Raises WorkflowNotFound.

    Both are of one snapshot: a page whose counts are not those that it was looked for with is looked for again.
    """
    while True:
        workflow = await db.fetchrow(
            """
            SELECT project_id, id, version_count, archived_count, deleted_count FROM workflows
            WHERE project_id = ANY($1) AND id = $2 AND deleted_at IS NULL
            """,
            projects,
            workflow_id,
        )
        if workflow is None:
            raise WorkflowNotFound(workflow_id)
        hidden = workflow["deleted_count"] + (0 if with_archived else workflow["archived_count"])
        total = workflow["version_count"] - hidden
        if page.offset >= total:
            return [], total
        rows = await _fetch_page(db, workflow, total, page, newest_first=newest_first, with_archived=with_archived)
        if rows and all(rows[0][count] == workflow[count] for count in _COUNTS):
            found = map(version_from, rows)
            return sorted(found, key=lambda version: version.number, reverse=newest_first), total


async def _fetch_page(
    db: Connection, workflow: Row, total: int, page: Page, *, newest_first: bool, with_archived: bool
) -> list[Row]:
    count = workflow["version_count"]
    hidden = count - total
    size = min(page.size, total - page.offset)
    rest = total - page.offset - size
    newer, older = (page.offset, rest) if newest_first else (rest, page.offset)
    whose = workflow["project_id"], workflow["id"]
    if not hidden:
        return await db.fetch(_PAGE, *whose, older, size, with_archived)
    if older <= newer:
        last = min(count, older + size + hidden)
        return await db.fetch(_PAGE_FROM_OLDEST, *whose, older, size, with_archived, 0, _block(last), count)
    first = max(1, count - newer - size - hidden + 1)
    return await db.fetch(_PAGE_FROM_NEWEST, *whose, newer, size, with_archived, _block(first), _block(count), count)


def _block(number: int) -> int:
    """In which thousand a version's number is."""
    return (number - 1) // 1000
