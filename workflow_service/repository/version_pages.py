"""Pages of a workflow's versions: ranges of numbers, so that any page costs the same, however long the history is."""

from collections.abc import Sequence
from uuid import UUID

from service_kit.db import Connection
from service_kit.paging import Page
from workflow_service.errors import WorkflowNotFound
from workflow_service.model import Version
from workflow_service.repository.versions import HEAD, version_from

# Hidden are the deleted versions and, unless $5 is true, the archived ones. A page begins where as many listed versions
# as $3 have been passed: its number is shifted by the hidden ones among them.
_HIDDEN = """
    FROM versions WHERE project_id = $1 AND workflow_id = $2
        AND (archived_at IS NOT NULL OR deleted_at IS NOT NULL) AND (deleted_at IS NOT NULL OR NOT $5) """
_LISTED = (
    "SELECT"
    + HEAD
    + """
    FROM workflows w, passed, versions v
    WHERE w.project_id = $1 AND w.id = $2 AND v.project_id = $1 AND v.workflow_id = $2
        AND v.deleted_at IS NULL AND (v.archived_at IS NULL OR $5) """
)
_NEWEST_FIRST = (
    "WITH hidden AS (SELECT $6 - number - (row_number() OVER (ORDER BY number DESC) - 1) AS listed_before"
    + _HIDDEN
    + "), passed AS (SELECT count(*) AS n FROM hidden WHERE listed_before <= $3) "
    + _LISTED
    + "AND v.number <= $6 - $3 - passed.n ORDER BY v.number DESC LIMIT $4"
)
_OLDEST_FIRST = (
    "WITH hidden AS (SELECT number - 1 - (row_number() OVER (ORDER BY number) - 1) AS listed_before"
    + _HIDDEN
    + "), passed AS (SELECT count(*) AS n FROM hidden WHERE listed_before <= $3) "
    + _LISTED
    + "AND v.number > $3 + passed.n ORDER BY v.number LIMIT $4"
)


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
    hidden = workflow["deleted_count"] + (0 if with_archived else workflow["archived_count"])
    total = workflow["version_count"] - hidden
    if page.offset >= total:
        return [], total
    values = (workflow["project_id"], workflow_id, page.offset, page.size, with_archived)
    if newest_first:
        rows = await db.fetch(_NEWEST_FIRST, *values, workflow["version_count"])
    else:
        rows = await db.fetch(_OLDEST_FIRST, *values)
    return [version_from(row) for row in rows], total
