"""Reads versions for many concurrent callers in one statement."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypeVar
from uuid import UUID

from service_kit.array_parameters import Projects, by_caller
from service_kit.db import Connection, Row
from service_kit.errors import ServiceError
from workflow_service.errors import VersionNotFound, WorkflowNotFound
from workflow_service.model import Version, VersionRef
from workflow_service.repository.versions import HEAD, HEAD_COLUMNS, version_from


@dataclass(frozen=True, slots=True)
class State:
    """The changeable state of a version, and the current name of its workflow."""

    id: UUID
    revision: int
    current: bool
    workflow_name: str
    workflow_description: str


Found = TypeVar("Found")
Key: TypeAlias = tuple[Projects, UUID, VersionRef]
"""The projects that the caller may read, a workflow's id, and a reference to one of its versions."""

# LATERAL and LIMIT force index lookups for each key, even if the table was small when Postgres planned the statement.
# The workflow comes first, to distinguish a missing version from a missing workflow.
_FROM = """
    FROM unnest($2::int[], $3::uuid[], $4::uuid[], $5::int[])
        WITH ORDINALITY AS k (caller, workflow_id, version_id, number, place)
    JOIN LATERAL (
        SELECT id, project_id, version_count, name, description FROM workflows
        WHERE project_id = ANY(($1::text[])[k.caller]::uuid[]) AND id = k.workflow_id AND deleted_at IS NULL LIMIT 1
    ) w ON true
    LEFT JOIN LATERAL (
        SELECT {columns} FROM versions
        WHERE k.version_id IS NOT NULL AND project_id = w.project_id AND workflow_id = w.id AND id = k.version_id
        UNION ALL
        SELECT {columns} FROM versions
        WHERE k.version_id IS NULL AND project_id = w.project_id AND workflow_id = w.id
            AND number = coalesce(k.number, w.version_count)
        LIMIT 1
    ) v ON v.deleted_at IS NULL """
_STATE_COLUMNS = "id, revision, number, deleted_at"
_STATES = """
    SELECT k.place, v.id, v.revision, v.number = w.version_count AS current,
        w.name AS workflow_name, w.description AS workflow_description """ + _FROM.format(columns=_STATE_COLUMNS)
_VERSION_COLUMNS = f"{HEAD_COLUMNS}, flow, flow_ui, deleted_at"
_VERSIONS = "SELECT k.place," + HEAD + ", v.flow, v.flow_ui" + _FROM.format(columns=_VERSION_COLUMNS)


async def find_states(db: Connection, keys: Sequence[Key]) -> list[State | ServiceError]:
    """The state for each key, or WorkflowNotFound or VersionNotFound."""
    rows = await db.fetch(_STATES, *_columns(keys))
    return _in_order(keys, rows, _state)


def _state(row: Row) -> State:
    return State(row["id"], row["revision"], row["current"], row["workflow_name"], row["workflow_description"])


async def find_versions(db: Connection, keys: Sequence[Key]) -> list[Version | ServiceError]:
    """The version with flow and flow_ui, WorkflowNotFound or VersionNotFound for each key."""
    rows = await db.fetch(_VERSIONS, *_columns(keys))
    return _in_order(keys, rows, partial(version_from, content=True))


def _columns(keys: Sequence[Key]) -> tuple[list[str], list[int], list[UUID], list[UUID | None], list[int | None]]:
    projects, workflows, refs = zip(*keys, strict=True)
    return *by_caller(projects), list(workflows), [ref.id for ref in refs], [ref.number for ref in refs]


def _in_order(keys: Sequence[Key], rows: Sequence[Row], read: Callable[[Row], Found]) -> list[Found | ServiceError]:
    found = {row["place"]: row for row in rows}
    return [_found(found.get(place), key, read) for place, key in enumerate(keys, 1)]


def _found(row: Row | None, key: Key, read: Callable[[Row], Found]) -> Found | ServiceError:
    _, workflow_id, ref = key
    if row is None:
        return WorkflowNotFound(workflow_id)
    return VersionNotFound(ref) if row["id"] is None else read(row)
