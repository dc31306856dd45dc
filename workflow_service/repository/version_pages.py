"""Pages of a workflow's versions. Every page costs the same, for a history of any length and with any number of hidden
versions.

Deleted versions are hidden, and archived ones unless they are requested. The numbers on the page are found first; then
only these versions are read.
"""

from collections.abc import Sequence
from uuid import UUID

from service_kit.db import Connection, Row
from service_kit.paging import Page
from workflow_service.errors import WorkflowNotFound
from workflow_service.model import Version
from workflow_service.repository.versions import HEAD, HEAD_COLUMNS, version_from

# The numbers of $4 versions, after $3 older ones, for a list without hidden versions.
_NUMBERS = "generate_series($3::integer + 1, $3 + $4::integer) AS n (number)"
# The same for a list with hidden versions. Counting starts at the nearer end of the list, in blocks of a thousand
# numbers. Blocks $6 to $7 are counted, and the last one ends at the latest number, $8. $3 versions are skipped, whole
# blocks by their counts. Blocks with a part of the page are expanded only as far as needed.
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
# An ordered search for each number can only use the primary key. For an equality, or an IN list, the planner may choose
# versions_digest_idx, which reads the whole history.
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
    """A page of versions without flow and flow_ui, and the total number. Raises WorkflowNotFound.

    Both are from one snapshot: if the counts have changed before the page is read, the search is repeated.
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


_OF_AUTHOR = """
    SELECT v.number FROM w JOIN versions v ON v.project_id = w.project_id AND v.workflow_id = w.id
    WHERE v.created_by = $3 AND v.deleted_at IS NULL AND (v.archived_at IS NULL OR $4)
"""
# Looks up each id in versions_id_key. The condition leaves out the workflow, so that no other index fits, even for a
# small table.
_OF_IDS = """
    SELECT v.number FROM w CROSS JOIN (SELECT DISTINCT unnest($3::uuid[]) AS id) chosen CROSS JOIN LATERAL (
        SELECT workflow_id, number, archived_at, deleted_at FROM versions
        WHERE versions.project_id = w.project_id AND versions.id = chosen.id LIMIT 1
    ) v
    WHERE v.workflow_id = w.id AND v.deleted_at IS NULL AND (v.archived_at IS NULL OR $4)
"""
_PAGE_OF_AUTHOR, _PAGE_OF_IDS = (
    {
        is_newest_first: f"""
        WITH w AS MATERIALIZED (
            SELECT project_id, id, version_count FROM workflows
            WHERE project_id = ANY($1) AND id = $2 AND deleted_at IS NULL
        ), listed AS NOT MATERIALIZED ({numbers}), page AS MATERIALIZED (
            SELECT number FROM listed ORDER BY number {order} LIMIT $5 OFFSET $6
        ), counted AS (SELECT count(*) AS total FROM listed)
        SELECT counted.total, {HEAD}
        FROM counted JOIN w ON true LEFT JOIN page ON true LEFT JOIN LATERAL (
            SELECT {HEAD_COLUMNS} FROM versions
            WHERE project_id = w.project_id AND workflow_id = w.id AND versions.number >= page.number
            ORDER BY versions.number LIMIT 1
        ) v ON true ORDER BY v.number {order}
        """
        for is_newest_first, order in ((True, "DESC"), (False, "ASC"))
    }
    for numbers in (_OF_AUTHOR, _OF_IDS)
)


async def list_chosen_versions(
    db: Connection,
    projects: Sequence[UUID],
    workflow_id: UUID,
    chosen: UUID | Sequence[UUID],
    page: Page,
    *,
    newest_first: bool,
    with_archived: bool,
) -> tuple[list[Version], int]:
    """Like `list_versions`, for the versions of one author, or for some versions by id. Raises WorkflowNotFound."""
    statements = _PAGE_OF_AUTHOR if isinstance(chosen, UUID) else _PAGE_OF_IDS
    rows = await db.fetch(
        statements[newest_first], projects, workflow_id, chosen, with_archived, page.size, page.offset
    )
    if not rows:
        raise WorkflowNotFound(workflow_id)
    return [version_from(row) for row in rows if row["id"] is not None], rows[0]["total"]


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
    """The block of a thousand numbers that contains this one."""
    return (number - 1) // 1000
