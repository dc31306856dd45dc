"""The table versions: appended to, archived in, never rewritten."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import asyncpg

from service_kit.auth import Caller
from service_kit.batches import by_caller
from service_kit.db import Connection, Row, only
from service_kit.ids import new_id
from workflow_service.errors import VersionNotFound, WorkflowNotFound
from workflow_service.flow import Content
from workflow_service.model import Version, VersionRef, check_texts


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What is about to be saved, by whom, in which call. `action` is its RPC's name."""

    caller: Caller
    workflow_id: UUID
    content: Content
    action: str
    description: str
    name: str | None = None
    """For the workflow, when this is its first release."""
    released_by_save: bool = False

    @property
    def values(self) -> tuple[object, ...]:
        """As `_INSERT` takes them."""
        return (
            self.workflow_id,
            new_id(),
            self.content.digest,
            self.content.canvas_digest,
            self.name,
            self.description,
            self.released_by_save,
            self.caller.id,
            self.caller.name,
            self.content.flow,
            self.content.flow_ui,
            new_id(),
            self.action,
            self.caller.principal.token.id,
            self.caller.request_id,
        )


_INSERT = """
    WITH new AS (
        SELECT w.project_id, new.*
        FROM unnest(
            $2::int[], $3::uuid[], $4::uuid[], $5::bytea[], $6::bytea[], $7::text[], $8::text[], $9::boolean[],
            $10::uuid[], $11::text[], $12::json[], $13::json[], $14::uuid[], $15::text[], $16::text[], $17::text[]
        ) AS new (
            caller, workflow_id, id, digest, canvas_digest, name, description, released_by_save,
            by, by_name, flow, flow_ui, event_id, action, token_id, request_id
        )
        JOIN workflows w ON w.project_id = ANY(($1::text[])[new.caller]::uuid[]) AND w.id = new.workflow_id
            AND w.deleted_at IS NULL
        {lock}
    ), workflow AS (
        UPDATE workflows w
        SET name = CASE WHEN version_count = 0 THEN coalesce(new.name, w.name) ELSE w.name END,
            accepts_release = CASE WHEN version_count = 0 THEN new.released_by_save ELSE accepts_release END,
            version_count = version_count + 1,
            revision = revision + 1, updated_at = clock_timestamp(), updated_by = new.by
        FROM new
        WHERE w.project_id = new.project_id AND w.id = new.workflow_id AND w.deleted_at IS NULL
        RETURNING w.version_count, new.*
    ), draft AS (
        DELETE FROM drafts d USING workflow w
        WHERE w.version_count = 1 AND d.project_id = w.project_id AND d.workflow_id = w.workflow_id
    ), event AS (
        INSERT INTO audit_events (
            project_id, subject_id, id, action, target_id, actor_id, actor_name, token_id, request_id, details
        )
        SELECT project_id, workflow_id, event_id, action, id, by, by_name, token_id, request_id,
            json_build_object('version', concat('v', version_count)) FROM workflow
    )
    INSERT INTO versions AS v (
        project_id, workflow_id, number, id, description, digest, canvas_digest, flow, flow_ui,
        created_by, created_by_name
    )
    SELECT project_id, workflow_id, version_count, id, description, digest, canvas_digest, flow, flow_ui, by, by_name
    FROM workflow
    RETURNING v.id, v.number, v.description, v.workflow_id, true AS current, v.digest, v.canvas_digest,
        v.created_at, v.created_by, v.created_by_name, v.archived_at, v.archived_by, v.revision, v.project_id,
        (SELECT max(p.number) FROM versions p
         WHERE p.project_id = v.project_id AND p.workflow_id = v.workflow_id AND p.digest = v.digest
        ) AS identical_to,
        (SELECT max(p.number) FROM versions p
         WHERE p.project_id = v.project_id AND p.workflow_id = v.workflow_id
        ) AS seen
"""
_INSERT_IN_TURN = _INSERT.format(lock="")
_INSERT_FREE = _INSERT.format(lock="FOR NO KEY UPDATE OF w SKIP LOCKED")


async def insert_version(db: Connection, new: NewVersion) -> Version:
    """Append the next version and note it, in one statement. Raises WorkflowNotFound.

    The counter's row lock makes concurrent saves take turns. On a draft it is the first release: `name`, when given,
    is applied and the canvas goes.
    """
    try:
        rows = await db.fetch(_INSERT_IN_TURN, *_columns([new]))
    except asyncpg.CheckViolationError as error:
        if error.constraint_name == "workflows_name_is_slug":
            check_texts(name=new.name)
        raise
    if not rows:
        raise WorkflowNotFound(new.workflow_id)
    return await _inserted(db, rows[0])


async def insert_versions(db: Connection, news: Sequence[NewVersion]) -> list[Version | None]:
    """The same for several workflows in one statement, which waits for none of them.

    None is for those to insert one by one, which wait, or hear why not: another change has the workflow, or it is not
    there. When one of them cannot be stored, that is all.
    """
    try:
        rows = await db.fetch(_INSERT_FREE, *_columns(news))
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
        return [None] * len(news)
    inserted = {row["workflow_id"]: await _inserted(db, row) for row in rows}
    return [inserted.get(new.workflow_id) for new in news]


def _columns(news: Sequence[NewVersion]) -> tuple[Sequence[object], ...]:
    sets, callers = by_caller(new.caller.projects for new in news)
    return sets, callers, *map(list, zip(*(new.values for new in news), strict=True))


async def _inserted(db: Connection, row: Row) -> Version:
    if (row["seen"] or 0) == row["number"] - 1:
        return version_from(row)
    # The statement's snapshot is older than the lock it waited for: another save came in between.
    identical_to = await find_identical(db, row["project_id"], row["workflow_id"], row["digest"], row["number"])
    return replace(version_from(row), identical_to=identical_to)


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


HEAD = """
    v.id, v.number, v.description, v.workflow_id, v.number = w.version_count AS current,
    v.digest, v.canvas_digest, v.created_at, v.created_by, v.created_by_name,
    v.archived_at, v.archived_by, v.revision,
    (SELECT max(p.number) FROM versions p
     WHERE p.project_id = v.project_id AND p.workflow_id = v.workflow_id
       AND p.digest = v.digest AND p.number < v.number
    ) AS identical_to """

# The workflow comes first, so that a missing version can be told from a missing workflow.
_FROM = (
    " FROM workflows w LEFT JOIN versions v"
    " ON v.project_id = w.project_id AND v.workflow_id = w.id AND v.deleted_at IS NULL "
)
_OF_WORKFLOW = " WHERE w.project_id = ANY($1) AND w.id = $2 AND w.deleted_at IS NULL"
_IS = {"id": "AND v.id = $3", "number": "AND v.number = $3", "latest": "AND v.number = w.version_count"}
_GET = {by: "SELECT" + HEAD + ", v.flow, v.flow_ui" + _FROM + clause + _OF_WORKFLOW for by, clause in _IS.items()}
_GETHEAD = {by: "SELECT" + HEAD + _FROM + clause + _OF_WORKFLOW for by, clause in _IS.items()}


async def get_version(db: Connection, projects: Sequence[UUID], workflow_id: UUID, version: VersionRef) -> Version:
    """With flow and flow_ui. Raises WorkflowNotFound or VersionNotFound."""
    row = await db.fetchrow(_GET[version.by], projects, workflow_id, *version.values)
    return version_from(_found(row, workflow_id, version), content=True)


async def get_version_head(db: Connection, projects: Sequence[UUID], workflow_id: UUID, version: VersionRef) -> Version:
    """Without flow and flow_ui. Raises WorkflowNotFound or VersionNotFound."""
    row = await db.fetchrow(_GETHEAD[version.by], projects, workflow_id, *version.values)
    return version_from(_found(row, workflow_id, version))


def _found(row: Row | None, workflow_id: UUID, version: VersionRef) -> Row:
    if row is None:
        raise WorkflowNotFound(workflow_id)
    if row["id"] is None:
        raise VersionNotFound(version)
    return row


async def find_flow(db: Connection, project_id: UUID, workflow_id: UUID, version_id: UUID) -> bytes | None:
    """The flow of a version, of a deleted one too."""
    flow: bytes | None = await db.fetchval(
        "SELECT flow FROM versions WHERE project_id = $1 AND workflow_id = $2 AND id = $3",
        project_id,
        workflow_id,
        version_id,
    )
    return flow


async def find_version(db: Connection, project_id: UUID, version_id: UUID) -> tuple[UUID, bool] | None:
    """The workflow of a version and whether the version is deleted, in whichever workflow of the project it is."""
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
    """Archive a version, or with `by` None put it back."""
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


async def hide_version(db: Connection, project_id: UUID, version_id: UUID, by: UUID) -> None:
    await db.execute(
        """
        UPDATE versions SET deleted_at = clock_timestamp(), deleted_by = $3, revision = revision + 1
        WHERE project_id = $1 AND id = $2
        """,
        project_id,
        version_id,
        by,
    )


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
