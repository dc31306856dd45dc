"""The table versions: appended to, archived in, never rewritten."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import asyncpg

from service_kit.db import Connection, Row, only
from service_kit.paging import Page
from workflow_service.errors import VersionNotFound, WorkflowNotFound
from workflow_service.flow import Content
from workflow_service.model import Version, VersionRef, check_texts

_INSERT = """
    WITH workflow AS (
        UPDATE workflows
        SET name = CASE WHEN version_count = 0 THEN coalesce($6, name) ELSE name END,
            accepts_release = CASE WHEN version_count = 0 THEN $8 ELSE accepts_release END,
            version_count = version_count + 1,
            revision = revision + 1, updated_at = clock_timestamp(), updated_by = $9
        WHERE project_id = ANY($1) AND id = $2 AND deleted_at IS NULL
        RETURNING project_id, id, version_count
    ), draft AS (
        DELETE FROM drafts d USING workflow w
        WHERE w.version_count = 1 AND d.project_id = w.project_id AND d.workflow_id = w.id
    )
    INSERT INTO versions AS v (
        project_id, workflow_id, number, id, description, digest, canvas_digest, flow, flow_ui,
        created_by, created_by_name
    )
    SELECT project_id, id, version_count, $3, $7, $4, $5, $11, $12, $9, $10 FROM workflow
    RETURNING v.id, v.number, v.description, v.workflow_id, true AS current, v.digest, v.canvas_digest,
        v.created_at, v.created_by, v.created_by_name, v.archived_at, v.archived_by, v.revision, v.project_id,
        (SELECT max(p.number) FROM versions p
         WHERE p.project_id = v.project_id AND p.workflow_id = v.workflow_id AND p.digest = v.digest
        ) AS identical_to,
        (SELECT max(p.number) FROM versions p
         WHERE p.project_id = v.project_id AND p.workflow_id = v.workflow_id
        ) AS seen
"""


async def insert_version(
    db: Connection,
    projects: Sequence[UUID],
    workflow_id: UUID,
    version_id: UUID,
    content: Content,
    *,
    name: str | None,
    description: str,
    released_by_save: bool,
    by: UUID,
    by_name: str,
) -> Version:
    """Append the next version. The counter's row lock makes concurrent saves take turns. Raises WorkflowNotFound.

    On a draft it is the first release: `name`, when given, is applied and the canvas goes.
    """
    try:
        row = await db.fetchrow(
            _INSERT,
            projects,
            workflow_id,
            version_id,
            content.digest,
            content.canvas_digest,
            name,
            description,
            released_by_save,
            by,
            by_name,
            content.flow,
            content.flow_ui,
        )
    except asyncpg.CheckViolationError as error:
        if error.constraint_name == "workflows_name_is_slug":
            check_texts(name=name)
        raise
    if row is None:
        raise WorkflowNotFound(workflow_id)
    if (row["seen"] or 0) != row["number"] - 1:
        # The statement's snapshot is older than the lock it waited for: another save came in between.
        identical_to = await find_identical(db, row["project_id"], workflow_id, content.digest, row["number"])
        return replace(version_from(row), identical_to=identical_to)
    return version_from(row)


async def find_identical(db: Connection, project_id: UUID, workflow_id: UUID, digest: bytes, before: int) -> int | None:
    """The newest number below `before` with this digest."""
    number: int | None = await db.fetchval(
        """
        SELECT max(number) FROM versions
        WHERE project_id = $1 AND workflow_id = $2 AND digest = $3 AND number < $4
        """,
        project_id,
        workflow_id,
        digest,
        before,
    )
    return number


_HEAD = """
    v.id, v.number, v.description, v.workflow_id, v.number = w.version_count AS current,
    v.digest, v.canvas_digest, v.created_at, v.created_by, v.created_by_name,
    v.archived_at, v.archived_by, v.revision,
    (SELECT max(p.number) FROM versions p
     WHERE p.project_id = v.project_id AND p.workflow_id = v.workflow_id
       AND p.digest = v.digest AND p.number < v.number
    ) AS identical_to """

# The workflow comes first, so that a missing version can be told from a missing workflow.
_FROM = " FROM workflows w LEFT JOIN versions v ON v.project_id = w.project_id AND v.workflow_id = w.id "
_OF_WORKFLOW = " WHERE w.project_id = ANY($1) AND w.id = $2 AND w.deleted_at IS NULL"
_IS = {"id": "AND v.id = $3", "number": "AND v.number = $3", "latest": "AND v.number = w.version_count"}
_GET = {by: "SELECT" + _HEAD + ", v.flow, v.flow_ui" + _FROM + clause + _OF_WORKFLOW for by, clause in _IS.items()}
_GET_HEAD = {by: "SELECT" + _HEAD + _FROM + clause + _OF_WORKFLOW for by, clause in _IS.items()}


async def get_version(db: Connection, projects: Sequence[UUID], workflow_id: UUID, version: VersionRef) -> Version:
    """With flow and flow_ui. Raises WorkflowNotFound or VersionNotFound."""
    row = await db.fetchrow(_GET[version.by], projects, workflow_id, *version.values)
    return version_from(_found(row, workflow_id, version), content=True)


async def get_version_head(db: Connection, projects: Sequence[UUID], workflow_id: UUID, version: VersionRef) -> Version:
    """Without flow and flow_ui. Raises WorkflowNotFound or VersionNotFound."""
    row = await db.fetchrow(_GET_HEAD[version.by], projects, workflow_id, *version.values)
    return version_from(_found(row, workflow_id, version))


def _found(row: Row | None, workflow_id: UUID, version: VersionRef) -> Row:
    if row is None:
        raise WorkflowNotFound(workflow_id)
    if row["id"] is None:
        raise VersionNotFound(version)
    return row


async def version_exists(db: Connection, project_id: UUID, version_id: UUID) -> bool:
    """Whether any workflow of the project has this version."""
    return bool(
        await db.fetchval(
            """
            SELECT EXISTS (
                SELECT FROM versions v JOIN workflows w ON w.project_id = v.project_id AND w.id = v.workflow_id
                WHERE v.project_id = $1 AND v.id = $2 AND w.deleted_at IS NULL
            )
            """,
            project_id,
            version_id,
        )
    )


_LISTED = (
    "SELECT"
    + _HEAD
    + """
    FROM workflows w, passed, versions v
    WHERE w.project_id = $1 AND w.id = $2 AND v.project_id = $1 AND v.workflow_id = $2 AND v.archived_at IS NULL """
)

# A page is a range of numbers, shifted by the archived ones that are passed before it begins.
_NEWEST_FIRST = (
    """
    WITH archived AS (
        SELECT $5 - number - (row_number() OVER (ORDER BY number DESC) - 1) AS listed_before
        FROM versions WHERE project_id = $1 AND workflow_id = $2 AND archived_at IS NOT NULL
    ), passed AS (SELECT count(*) AS n FROM archived WHERE listed_before <= $3)
    """
    + _LISTED
    + "AND v.number <= $5 - $3 - passed.n ORDER BY v.number DESC LIMIT $4"
)
_OLDEST_FIRST = (
    """
    WITH archived AS (
        SELECT number - 1 - (row_number() OVER (ORDER BY number) - 1) AS listed_before
        FROM versions WHERE project_id = $1 AND workflow_id = $2 AND archived_at IS NOT NULL
    ), passed AS (SELECT count(*) AS n FROM archived WHERE listed_before <= $3)
    """
    + _LISTED
    + "AND v.number > $3 + passed.n ORDER BY v.number LIMIT $4"
)


async def list_versions(
    db: Connection, projects: Sequence[UUID], workflow_id: UUID, page: Page, *, newest_first: bool
) -> tuple[list[Version], int]:
    """A page of what is not archived, without content, and how many that is in all. Raises WorkflowNotFound."""
    workflow = await db.fetchrow(
        """
        SELECT project_id, version_count, archived_count FROM workflows
        WHERE project_id = ANY($1) AND id = $2 AND deleted_at IS NULL
        """,
        projects,
        workflow_id,
    )
    if workflow is None:
        raise WorkflowNotFound(workflow_id)
    total = workflow["version_count"] - workflow["archived_count"]
    if page.offset >= total:
        return [], total
    values = (workflow["project_id"], workflow_id, page.offset, page.size)
    if newest_first:
        rows = await db.fetch(_NEWEST_FIRST, *values, workflow["version_count"])
    else:
        rows = await db.fetch(_OLDEST_FIRST, *values)
    return [version_from(row) for row in rows], total


async def update_archived(db: Connection, project_id: UUID, version_id: UUID, by: UUID | None) -> Version:
    """Archive a version, or with `by` None put it back."""
    row = await db.fetchrow(
        """
        UPDATE versions v
        SET archived_at = CASE WHEN $3::uuid IS NULL THEN NULL ELSE clock_timestamp() END, archived_by = $3,
            revision = v.revision + 1
        FROM workflows w
        WHERE v.project_id = $1 AND v.id = $2 AND w.project_id = v.project_id AND w.id = v.workflow_id
        RETURNING """
        + _HEAD,
        project_id,
        version_id,
        by,
    )
    return version_from(only(row))


def version_from(row: Row, *, content: bool = False) -> Version:
    return Version(
        row["id"],
        row["number"],
        row["description"],
        row["workflow_id"],
        row["current"],
        row["digest"],
        row["canvas_digest"],
        row["identical_to"],
        row["created_at"],
        row["created_by"],
        row["created_by_name"],
        row["archived_at"],
        row["archived_by"],
        row["revision"],
        row["flow"] if content else None,
        row["flow_ui"] if content else None,
    )
