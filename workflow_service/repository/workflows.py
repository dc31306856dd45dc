"""The tables workflows and drafts."""

from collections.abc import Sequence
from uuid import UUID

from service_kit.db import Connection, Row, only
from workflow_service.errors import WorkflowNotFound
from workflow_service.flow import Content
from workflow_service.model import Latest, LockedWorkflow, Workflow


async def insert_draft(
    db: Connection, project_id: UUID, workflow_id: UUID, name: str, description: str, content: Content, by: UUID
) -> Workflow:
    row = await db.fetchrow(
        """
        WITH workflow AS (
            INSERT INTO workflows (project_id, id, name, description, created_by, updated_by)
            VALUES ($1, $2, $3, $4, $5, $5)
            RETURNING project_id, id, name, description, version_count, revision,
                created_at, created_by, updated_at, updated_by
        ), draft AS (
            INSERT INTO drafts (project_id, workflow_id, flow, flow_ui) SELECT project_id, id, $6, $7 FROM workflow
        )
        SELECT id, name, description, project_id, version_count, 0 AS hidden_count, revision,
               created_at, created_by, updated_at, updated_by, NULL::uuid AS latest_id, $6 AS flow, $7 AS flow_ui
        FROM workflow
        """,
        project_id,
        workflow_id,
        name,
        description,
        by,
        content.flow,
        content.flow_ui,
    )
    return workflow_from(only(row), content=True)


COLUMNS = """
    project_id, id, name, description, version_count, archived_count, deleted_count, revision,
    created_at, created_by, updated_at, updated_by """
"""The columns of the table that HEAD and LATEST read."""
HEAD = """
    w.id, w.name, w.description, w.project_id, w.version_count, w.archived_count + w.deleted_count AS hidden_count,
    w.revision,
    w.created_at, w.created_by, w.updated_at, w.updated_by,
    v.id AS latest_id, v.description AS latest_description,
    v.created_at AS latest_created_at, v.created_by AS latest_created_by """
LATEST = """
    LEFT JOIN versions v ON v.project_id = w.project_id AND v.workflow_id = w.id AND v.number = w.version_count """
FROM = " FROM workflows w" + LATEST


async def get_workflow(db: Connection, projects: Sequence[UUID], workflow_id: UUID) -> Workflow:
    """The workflow with flow and flow_ui. Raises WorkflowNotFound."""
    row = await db.fetchrow(
        "SELECT"
        + HEAD
        + ", coalesce(v.flow, d.flow) AS flow, coalesce(v.flow_ui, d.flow_ui) AS flow_ui"
        + FROM
        + """
        LEFT JOIN drafts d ON d.project_id = w.project_id AND d.workflow_id = w.id
        WHERE w.project_id = ANY($1) AND w.id = $2 AND w.deleted_at IS NULL
        """,
        projects,
        workflow_id,
    )
    if row is None:
        raise WorkflowNotFound(workflow_id)
    return workflow_from(row, content=True)


async def get_workflow_head(db: Connection, projects: Sequence[UUID], workflow_id: UUID) -> Workflow:
    """The workflow without flow and flow_ui. Raises WorkflowNotFound."""
    row = await db.fetchrow(
        "SELECT" + HEAD + FROM + "WHERE w.project_id = ANY($1) AND w.id = $2 AND w.deleted_at IS NULL",
        projects,
        workflow_id,
    )
    if row is None:
        raise WorkflowNotFound(workflow_id)
    return workflow_from(row)


async def find_project(db: Connection, projects: Sequence[UUID], workflow_id: UUID) -> UUID:
    """The project that owns a workflow. Raises WorkflowNotFound."""
    project_id: UUID | None = await db.fetchval(
        "SELECT project_id FROM workflows WHERE project_id = ANY($1) AND id = $2 AND deleted_at IS NULL",
        projects,
        workflow_id,
    )
    if project_id is None:
        raise WorkflowNotFound(workflow_id)
    return project_id


async def lock_workflow(db: Connection, projects: Sequence[UUID], workflow_id: UUID) -> LockedWorkflow:
    """Lock the workflow: its saves wait until the transaction ends. Raises WorkflowNotFound."""
    row = await db.fetchrow(
        """
        SELECT project_id, id, version_count, accepts_release FROM workflows
        WHERE project_id = ANY($1) AND id = $2 AND deleted_at IS NULL
        FOR UPDATE
        """,
        projects,
        workflow_id,
    )
    if row is None:
        raise WorkflowNotFound(workflow_id)
    # This is a separate statement, so that it sees changes that were committed during the wait for the lock.
    latest_digest = await db.fetchval(
        "SELECT digest FROM versions WHERE project_id = $1 AND workflow_id = $2 AND number = $3",
        row["project_id"],
        row["id"],
        row["version_count"],
    )
    return LockedWorkflow(**row, latest_digest=latest_digest)


async def update_texts(
    db: Connection, workflow_id: UUID, project_id: UUID, name: str | None, description: str | None, by: UUID
) -> bool:
    """Fields that are None do not change. False if nothing changes."""
    updated = await db.fetchval(
        """
        UPDATE workflows
        SET name = coalesce($3, name), description = coalesce($4, description),
            revision = revision + 1, updated_at = clock_timestamp(), updated_by = $5
        WHERE project_id = $1 AND id = $2 AND (name <> $3 OR description <> $4)
        RETURNING true
        """,
        project_id,
        workflow_id,
        name,
        description,
        by,
    )
    return bool(updated)


async def accept_release(db: Connection, workflow_id: UUID, project_id: UUID, name: str, by: UUID) -> None:
    """Apply the name of the one release that may follow a first save."""
    await db.execute(
        """
        UPDATE workflows
        SET name = $3, accepts_release = false,
            revision = revision + 1, updated_at = clock_timestamp(), updated_by = $4
        WHERE project_id = $1 AND id = $2
        """,
        project_id,
        workflow_id,
        name,
        by,
    )


async def count_hidden(
    db: Connection, workflow_id: UUID, project_id: UUID, *, archived: int = 0, deleted: int = 0
) -> None:
    """Add to the counts of archived and deleted versions. Numbers may be negative.

    If the number of visible versions changes, so does the workflow's revision.
    """
    await db.execute(
        """
        UPDATE workflows
        SET archived_count = archived_count + $3, deleted_count = deleted_count + $4,
            revision = revision + ($3 + $4 <> 0)::int
        WHERE project_id = $1 AND id = $2
        """,
        project_id,
        workflow_id,
        archived,
        deleted,
    )


async def insert_workflow(
    db: Connection, project_id: UUID, workflow_id: UUID, name: str, description: str, by: UUID
) -> None:
    """Insert a workflow without a canvas. The same transaction must insert its first version."""
    await db.execute(
        """
        INSERT INTO workflows (project_id, id, name, description, created_by, updated_by)
        VALUES ($1, $2, $3, $4, $5, $5)
        """,
        project_id,
        workflow_id,
        name,
        description,
        by,
    )


async def delete_draft(db: Connection, workflow_id: UUID, project_id: UUID) -> None:
    """Delete the draft permanently, including its canvas."""
    await db.execute(
        "DELETE FROM workflows WHERE project_id = $1 AND id = $2 AND version_count = 0", project_id, workflow_id
    )


async def hide_workflow(db: Connection, workflow_id: UUID, project_id: UUID, by: UUID) -> None:
    await db.execute(
        "UPDATE workflows SET deleted_at = clock_timestamp(), deleted_by = $3 WHERE project_id = $1 AND id = $2",
        project_id,
        workflow_id,
        by,
    )


def workflow_from(row: Row, *, content: bool = False) -> Workflow:
    latest = None
    if row["latest_id"] is not None:
        latest = Latest(
            row["latest_id"],
            row["version_count"],
            row["latest_description"],
            row["latest_created_at"],
            row["latest_created_by"],
        )
    return Workflow(
        row["id"],
        row["name"],
        row["description"],
        row["project_id"],
        row["version_count"],
        row["hidden_count"],
        row["revision"],
        row["created_at"],
        row["created_by"],
        row["updated_at"],
        row["updated_by"],
        latest,
        row["flow"] if content else None,
        row["flow_ui"] if content else None,
    )
