"""Reads a backup's workflows and apps as text, without running its SQL."""

import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from flowpin_cli.backup.archive import Manifest, reading
from flowpin_cli.errors import CannotRun
from flowpin_cli.postgres.dump_reader import Rows, list_entries, read_rows
from flowpin_cli.verify.check import Snapshots

MAX_LINE_BYTES = 256 << 20
"""Maximum bytes of a row. The largest flow and flow_ui take a quarter of it."""
ROWS_AT_ONCE = 1_000

# By table: the parent's column, and the query for rows that still exist.
_PARENTS = {"versions": "workflow_id", "deployments": "app_id"}
_THERE = {
    "versions": """
        SELECT v.workflow_id AS parent FROM unnest($1::uuid[], $2::uuid[], $3::int[]) AS b (project_id, id, number)
        JOIN versions v ON v.project_id = b.project_id AND v.id = b.id AND v.number = b.number
    """,
    "deployments": """
        SELECT d.app_id AS parent FROM unnest($1::uuid[], $2::uuid[], $3::int[]) AS b (project_id, id, number)
        JOIN deployments d ON d.project_id = b.project_id AND d.id = b.id AND d.number = b.number
    """,
}


@dataclass
class Kept:
    """Counts of a workflow's versions or an app's deployments: those in the backup, and those that still exist."""

    count: int = 0
    there: int = 0


@dataclass
class Backup:
    """The content of a backup. Its memory grows with the number of workflows and apps, not with their histories."""

    manifest: Manifest
    workflows: dict[UUID, Kept] = field(default_factory=dict)
    apps: dict[UUID, Kept] = field(default_factory=dict)


async def read_backup(path: Path, snapshots: Snapshots, say: Callable[[str], None]) -> Backup:
    """Read the backup to its end and look up each version and deployment. Raises CannotRun."""
    say("The backup's checksums")
    with reading(path) as reader, reader.copy_of_dump(Path(tempfile.gettempdir())) as dump:
        backup = Backup(reader.manifest)
        parents = {"workflow": backup.workflows, "deploy": backup.apps}
        tables = {"workflow": ("workflows", "versions"), "deploy": ("apps", "deployments")}
        wanted = {f"TABLE DATA {schema} {table}" for schema, names in tables.items() for table in names}
        entries = [entry for entry in await list_entries(reader.dump()) if entry.what in wanted]
        async for rows in read_rows(dump, entries):
            if rows.schema not in tables or rows.table not in tables[rows.schema]:
                raise CannotRun(f"the backup holds rows of {rows.schema}.{rows.table} where it should not")
            kept = parents[rows.schema]
            if rows.table not in _PARENTS:
                async for (id_,) in _fields(rows, ("id",)):
                    kept.setdefault(_uuid(id_), Kept())
                continue
            async for batch in _batches(rows):
                for _, parent, _, _ in batch:
                    kept.setdefault(parent, Kept()).count += 1
                keys = [[row[place] for row in batch] for place in (0, 2, 3)]
                for row in await snapshots[rows.schema].fetch(_THERE[rows.table], *keys):
                    kept.setdefault(row["parent"], Kept()).there += 1
                say(f"The backup's {rows.table}: {sum(each.count for each in kept.values()):,}")
    return backup


async def _batches(rows: Rows) -> AsyncIterator[list[tuple[UUID, UUID, UUID, int]]]:
    """The project, parent, id and number of each row."""
    batch = []
    async for project, parent, id_, number in _fields(rows, ("project_id", _PARENTS[rows.table], "id", "number")):
        batch.append((_uuid(project), _uuid(parent), _uuid(id_), _number(number)))
        if len(batch) == ROWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


async def _fields(rows: Rows, names: Sequence[str]) -> AsyncIterator[tuple[bytes, ...]]:
    """These columns of each row, as COPY writes them."""
    if missing := [name for name in names if name not in rows.columns]:
        raise CannotRun(f"the backup's table {rows.table} has no column {missing[0]}")
    places = [rows.columns.index(name) for name in names]
    unread = b""
    async for chunk in rows.chunks:
        *lines, unread = (unread + chunk).split(b"\n")
        if len(unread) > MAX_LINE_BYTES:
            raise CannotRun(f"the backup's table {rows.table} has a row that is too long")
        for line in lines:
            parts = line.split(b"\t", max(places) + 1)
            if len(parts) <= max(places):
                raise CannotRun(f"the backup's table {rows.table} has a row that is too short")
            yield tuple(parts[place] for place in places)


def _uuid(text: bytes) -> UUID:
    try:
        return UUID(text.decode())
    except ValueError:
        raise CannotRun("the backup has an invalid id") from None


def _number(text: bytes) -> int:
    if not text.isdigit() or len(text) > 10:
        raise CannotRun("the backup has an invalid number")
    return int(text)
