"""The table versions. Content is only appended and never changes; versions can be archived, noted and deleted."""

from collections.abc import Sequence
from uuid import UUID

from service_kit.db import Connection, Row, only
from workflow_service.errors import VersionNotFound, WorkflowNotFound
from workflow_service.model import Version, VersionRef

HEAD_COLUMNS = """project_id, workflow_id, id, number, description, digest, canvas_digest,
    created_at, created_by, created_by_name, archived_at, archived_by, revision, note, noted_at, noted_by"""
"""The columns of the table that HEAD reads."""
HEAD = """
    v.id, v.number, v.description, v.workflow_id, v.number = w.version_count AS current,
    v.digest, v.canvas_digest, v.created_at, v.created_by, v.created_by_name,
    v.archived_at, v.archived_by, v.revision, v.note, v.noted_at, v.noted_by,
    (SELECT max(p.number) FROM versions p
     WHERE p.project_id = v.project_id AND p.workflow_id = v.workflow_id
       AND p.digest = v.digest AND p.number < v.number AND p.deleted_at IS NULL
    ) AS identical_to """

# The workflow comes first, to distinguish a missing version from a missing workflow.
_FROM = (
    " FROM workflows w LEFT JOIN versions v"
    " ON v.project_id = w.project_id AND v.workflow_id = w.id AND v.deleted_at IS NULL "
)
_OF_WORKFLOW = " WHERE w.project_id = ANY($1) AND w.id = $2 AND w.deleted_at IS NULL"
_LABELED = """AND v.number = (
    SELECT l.number FROM labels l WHERE l.project_id = w.project_id AND l.workflow_id = w.id AND l.name = $3
)"""
_IS = {
    "id": "AND v.id = $3",
    "number": "AND v.number = $3",
    "latest": "AND v.number = w.version_count",
    "label": _LABELED,
}
_GET = {by: "SELECT" + HEAD + ", v.flow, v.flow_ui" + _FROM + clause + _OF_WORKFLOW for by, clause in _IS.items()}
_GETHEAD = {by: "SELECT" + HEAD + _FROM + clause + _OF_WORKFLOW for by, clause in _IS.items()}


async def get_version(db: Connection, projects: Sequence[UUID], workflow_id: UUID, version: VersionRef) -> Version:
    """The version with flow and flow_ui. Raises WorkflowNotFound or VersionNotFound."""
    row = await db.fetchrow(_GET[version.by], projects, workflow_id, *version.values)
    return version_from(_found(row, workflow_id, version), content=True)


async def get_version_head(db: Connection, projects: Sequence[UUID], workflow_id: UUID, version: VersionRef) -> Version:
    """The version without flow and flow_ui. Raises WorkflowNotFound or VersionNotFound."""
    row = await db.fetchrow(_GETHEAD[version.by], projects, workflow_id, *version.values)
    return version_from(_found(row, workflow_id, version))


def _found(row: Row | None, workflow_id: UUID, version: VersionRef) -> Row:
    if row is None:
        raise WorkflowNotFound(workflow_id)
    if row["id"] is None:
        raise VersionNotFound(version)
    return row


async def find_flow(db: Connection, project_id: UUID, workflow_id: UUID, version_id: UUID) -> bytes | None:
    """The flow of a version, which may be deleted."""
    flow: bytes | None = await db.fetchval(
        "SELECT flow FROM versions WHERE project_id = $1 AND workflow_id = $2 AND id = $3",
        project_id,
        workflow_id,
        version_id,
    )
    return flow


async def find_version(db: Connection, project_id: UUID, version_id: UUID) -> tuple[UUID, bool] | None:
    """The workflow of a version, which may be any of the project, and whether the version is deleted."""
    row = await db.fetchrow(
        """
        SELECT v.workflow_id, v.deleted_at IS NOT NULL AS is_deleted
        FROM versions v JOIN workflows w ON w.project_id = v.project_id AND w.id = v.workflow_id
        WHERE v.project_id = $1 AND v.id = $2 AND w.deleted_at IS NULL
        """,
        project_id,
        version_id,
    )
    return (row["workflow_id"], row["is_deleted"]) if row else None


async def update_archived(db: Connection, project_id: UUID, version_id: UUID, by: UUID | None) -> Version:
    """Archive a version, or unarchive it if `by` is None."""
    row = await db.fetchrow(
        """
        UPDATE versions v
        SET archived_at = CASE WHEN $3::uuid IS NULL THEN NULL ELSE clock_timestamp() END, archived_by = $3,
            revision = v.revision + 1
        FROM workflows w
        WHERE v.project_id = $1 AND v.id = $2 AND w.project_id = v.project_id AND w.id = v.workflow_id
        RETURNING """
        + HEAD,
        project_id,
        version_id,
        by,
    )
    return version_from(only(row))


async def update_note(db: Connection, project_id: UUID, version_id: UUID, note: str | None, by: UUID) -> Version:
    """Set the note of a version, or remove it if `note` is None."""
    row = await db.fetchrow(
        """
        UPDATE versions v
        SET note = $3, noted_at = CASE WHEN $3::text IS NULL THEN NULL ELSE clock_timestamp() END,
            noted_by = CASE WHEN $3::text IS NULL THEN NULL ELSE $4::uuid END, revision = v.revision + 1
        FROM workflows w
        WHERE v.project_id = $1 AND v.id = $2 AND w.project_id = v.project_id AND w.id = v.workflow_id
        RETURNING """
        + HEAD,
        project_id,
        version_id,
        note,
        by,
    )
    return version_from(only(row))


async def hide_version(db: Connection, project_id: UUID, version_id: UUID, by: UUID) -> int | None:
    """Delete a version. Returns the number of the version that was identical to it. The revision of that version
    changes as well."""
    await db.execute(
        """
        UPDATE versions SET deleted_at = clock_timestamp(), deleted_by = $3, revision = revision + 1
        WHERE project_id = $1 AND id = $2
        """,
        project_id,
        version_id,
        by,
    )
    number: int | None = await db.fetchval(
        """
        UPDATE versions v SET revision = v.revision + 1
        FROM (
            SELECT n.project_id, n.workflow_id, min(n.number) AS number
            FROM versions d JOIN versions n ON n.project_id = d.project_id AND n.workflow_id = d.workflow_id
                AND n.digest = d.digest AND n.number > d.number AND n.deleted_at IS NULL
            WHERE d.project_id = $1 AND d.id = $2
            GROUP BY 1, 2
        ) next
        WHERE v.project_id = next.project_id AND v.workflow_id = next.workflow_id AND v.number = next.number
        RETURNING v.number
        """,
        project_id,
        version_id,
    )
    return number


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
        row["note"],
        row["noted_at"],
        row["noted_by"],
        row["flow"] if content else None,
        row["flow_ui"] if content else None,
    )
