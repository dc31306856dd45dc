"""Inserts into the table versions. Numbers are unique and without gaps, even for concurrent saves."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias
from uuid import UUID

import asyncpg

from service_kit.access.caller import Caller
from service_kit.array_parameters import by_caller, columns
from service_kit.db import Connection, Row
from service_kit.ids import new_id
from workflow_service.errors import WorkflowNotFound
from workflow_service.flow import Content
from workflow_service.model import Version, check_texts
from workflow_service.repository.versions import version_from


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to save, with its author and request. `action` is the RPC's name."""

    caller: Caller
    workflow_id: UUID
    content: Content
    action: str
    description: str
    name: str | None = None
    """The workflow's new name, if this is its first release."""
    released_by_save: bool = False
    id: UUID = field(default_factory=new_id)


Value: TypeAlias = Callable[[NewVersion, int], object]

_COLUMNS: dict[str, tuple[str, Value]] = {
    "workflow_id": ("uuid", lambda new, place: new.workflow_id),
    "place": ("int", lambda new, place: place),
    "id": ("uuid", lambda new, place: new.id),
    "digest": ("bytea", lambda new, place: new.content.digest),
    "canvas_digest": ("bytea", lambda new, place: new.content.canvas_digest),
    "description": ("text", lambda new, place: new.description),
    "flow": ("json", lambda new, place: new.content.flow),
    "flow_ui": ("json", lambda new, place: new.content.flow_ui),
    "by": ("uuid", lambda new, place: new.caller.id),
    "by_name": ("text", lambda new, place: new.caller.name),
    "event_id": ("uuid", lambda new, place: new_id()),
    "action": ("text", lambda new, place: new.action),
    "token_id": ("text", lambda new, place: new.caller.principal.token.id),
    "request_id": ("text", lambda new, place: new.caller.request_id),
}
"""The columns of `new` below: the type and the value of each. `place` counts a workflow's new versions, from 1."""
_NAMES = ", ".join(_COLUMNS)
_NEW = ", ".join(f"new.{name}" for name in _COLUMNS)
_ONE = ", ".join(f"${number}::{kind} AS {name}" for number, (name, (kind, _)) in enumerate(_COLUMNS.items(), 8))
_MANY = ", ".join(f"${number}::{kind}[]" for number, (kind, _) in enumerate(_COLUMNS.values(), 8))

# The version count of a workflow is increased once for all of its new versions.
_INSERT = """
    WITH counted AS (
        SELECT w.project_id, counted.id, counted.saves, counted.name, counted.released_by_save, counted.by
        FROM unnest($2::int[], $3::uuid[], $4::int[], $5::text[], $6::boolean[], $7::uuid[])
            AS counted (caller, id, saves, name, released_by_save, by)
        JOIN workflows w ON w.project_id = ANY(($1::text[])[counted.caller]::uuid[]) AND w.id = counted.id
            AND w.deleted_at IS NULL
        {lock}
    ), workflow AS (
        UPDATE workflows w
        SET name = CASE WHEN version_count = 0 THEN coalesce(counted.name, w.name) ELSE w.name END,
            accepts_release = CASE WHEN version_count = 0 THEN counted.released_by_save ELSE accepts_release END,
            version_count = version_count + counted.saves,
            revision = revision + counted.saves, updated_at = clock_timestamp(), updated_by = counted.by
        FROM counted
        WHERE w.project_id = counted.project_id AND w.id = counted.id AND w.deleted_at IS NULL
        RETURNING w.project_id, w.id, w.version_count - counted.saves AS before, w.deleted_count
    ), draft AS (
        DELETE FROM drafts d USING workflow w
        WHERE w.before = 0 AND d.project_id = w.project_id AND d.workflow_id = w.id
    ), version AS NOT MATERIALIZED (
        SELECT w.project_id, w.before + new.place AS number, {new_columns}
        FROM workflow w JOIN {new} ON new.workflow_id = w.id
    ), event AS (
        INSERT INTO audit_events (
            project_id, subject_id, id, action, target_id, actor_id, actor_name, token_id, request_id, details
        )
        SELECT project_id, workflow_id, event_id, action, id, by, by_name, token_id, request_id,
            json_build_object('version', concat('v', number)) FROM version
    )
    INSERT INTO versions AS v (
        project_id, workflow_id, number, id, description, digest, canvas_digest, flow, flow_ui,
        created_by, created_by_name
    )
    SELECT project_id, workflow_id, number, id, description, digest, canvas_digest, flow, flow_ui, by, by_name
    FROM version
    RETURNING v.id, v.number, v.description, v.workflow_id, true AS current, v.digest, v.canvas_digest,
        v.created_at, v.created_by, v.created_by_name, v.archived_at, v.archived_by, v.revision,
        v.note, v.noted_at, v.noted_by, v.project_id,
        (SELECT max(p.number) FROM versions p
         WHERE p.project_id = v.project_id AND p.workflow_id = v.workflow_id AND p.digest = v.digest
            AND p.deleted_at IS NULL
        ) AS identical_to,
        (SELECT (seen.version_count, seen.deleted_count) IS DISTINCT FROM (w.before, w.deleted_count)
         FROM workflow w JOIN workflows seen ON seen.project_id = w.project_id AND seen.id = w.id
         WHERE w.project_id = v.project_id AND w.id = v.workflow_id
        ) AS is_outdated
"""
# Large documents are separate parameters, not columns of an intermediate result: copying 5 MB at each step took twice
# as long.
_INSERT_ONE = _INSERT.format(lock="", new_columns=_NEW, new=f"(SELECT {_ONE}) AS new")
_INSERT_FREE = _INSERT.format(
    lock="FOR NO KEY UPDATE OF w SKIP LOCKED", new_columns=_NEW, new=f"unnest({_MANY}) AS new ({_NAMES})"
)


async def insert_version(db: Connection, new: NewVersion) -> Version:
    """Append the next version and its audit event, in one statement. Raises WorkflowNotFound.

    Concurrent saves wait for the counter's row lock. On a draft this is the first release: it sets `name`, if there is
    one, and deletes the canvas.
    """
    try:
        row = await db.fetchrow(_INSERT_ONE, *_counted([[new]]), *_values(new, 1))
    except asyncpg.CheckViolationError as error:
        if error.constraint_name == "workflows_name_is_slug":
            check_texts(name=new.name)
        raise
    if row is None:
        raise WorkflowNotFound(new.workflow_id)
    return (await _inserted(db, [row]))[0]


async def insert_versions(db: Connection, news: Sequence[NewVersion]) -> list[Version | None]:
    """Insert several versions in one statement that waits for no lock. Versions of one workflow keep their order.

    None marks a version that must be inserted by itself, because the workflow is locked or missing. If one cannot be
    stored, no version is stored.
    """
    batches = _by_workflow(news)
    values = (_values(new, place) for batch in batches for place, new in enumerate(batch, 1))
    try:
        rows = await db.fetch(_INSERT_FREE, *_counted(batches), *columns(values))
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
        return [None] * len(news)
    found = {row["id"]: row for row in rows}
    inserted: dict[UUID, Version] = {}
    for batch in batches:
        if batch[0].id in found:
            versions = await _inserted(db, [found[new.id] for new in batch])
            inserted.update((version.id, version) for version in versions)
    return [inserted.get(new.id) for new in news]


def _by_workflow(news: Iterable[NewVersion]) -> list[list[NewVersion]]:
    """Group by workflow. Leaves out versions whose callers have other projects than the first caller, because they may
    lack access."""
    batches: dict[UUID, list[NewVersion]] = {}
    for new in news:
        batch = batches.setdefault(new.workflow_id, [new])
        if batch[-1] is not new and new.caller.permitted_projects == batch[0].caller.permitted_projects:
            batch.append(new)
    return list(batches.values())


def _counted(batches: Sequence[Sequence[NewVersion]]) -> Iterator[list[object]]:
    """The projects of the callers, then the columns of `counted` for the workflows."""
    sets, callers = by_caller(batch[0].caller.permitted_projects for batch in batches)
    yield list(sets)
    yield from columns(
        (caller, batch[0].workflow_id, len(batch), batch[0].name, batch[0].released_by_save, batch[-1].caller.id)
        for caller, batch in zip(callers, batches, strict=True)
    )


def _values(new: NewVersion, place: int) -> tuple[object, ...]:
    return tuple(value(new, place) for _, value in _COLUMNS.values())


async def _inserted(db: Connection, rows: Sequence[Row]) -> list[Version]:
    """Versions from the rows of one workflow."""
    versions: list[Version] = []
    for row in rows:
        identical_to = row["identical_to"]
        if row["is_outdated"]:
            # The statement waited for the lock, and its snapshot is older: there was a save or a delete meanwhile.
            identical_to = await _identical(db, row)
        for earlier in versions:
            if earlier.digest == row["digest"]:
                identical_to = earlier.number
        version = version_from(row)
        if identical_to != version.identical_to or row is not rows[-1]:
            version = replace(version, identical_to=identical_to, current=row is rows[-1])
        versions.append(version)
    return versions


async def _identical(db: Connection, row: Row) -> int | None:
    """The number of the newest earlier version with the same digest that is not deleted."""
    number: int | None = await db.fetchval(
        """
        SELECT max(number) FROM versions
        WHERE project_id = $1 AND workflow_id = $2 AND digest = $3 AND number < $4 AND deleted_at IS NULL
        """,
        row["project_id"],
        row["workflow_id"],
        row["digest"],
        row["number"],
    )
    return number
