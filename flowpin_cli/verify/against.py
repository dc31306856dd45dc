"""`flowpin verify --against FILE`: finds what restoring a backup would lose, and which numbers would be used again."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID

from rich.console import Console

from flowpin_cli.machine.processes import printable
from flowpin_cli.postgres import catalog
from flowpin_cli.verify.backup_rows import Kept, read_backup
from flowpin_cli.verify.check import Snapshots
from flowpin_cli.verify.run import open_snapshots
from flowpin_cli.verify.snapshot import Source

MAX_SHOWN = 20

# The newest change first. Ids are ordered by time.
_WORKFLOWS = """
    SELECT w.id, w.name, w.version_count AS count, coalesce(v.created_at, w.created_at) AS at,
        coalesce(v.created_by_name, '') AS by
    FROM workflows w
    LEFT JOIN versions v ON v.project_id = w.project_id AND v.workflow_id = w.id AND v.number = w.version_count
    ORDER BY at DESC, w.id DESC
"""
_APPS = """
    SELECT a.id, a.name, a.deployment_count AS count, coalesce(d.started_at, a.created_at) AS at,
        coalesce(d.created_by_name, '') AS by
    FROM apps a
    LEFT JOIN deployments d ON d.project_id = a.project_id AND d.app_id = a.id AND d.number = a.deployment_count
    ORDER BY at DESC, a.id DESC
"""


@dataclass(frozen=True)
class Loss:
    """What a workflow or an app would lose: versions or deployments from `first` to `last`."""

    id: str
    name: str
    is_in_backup: bool
    first: int
    last: int
    count: int
    newest_at: str
    newest_by: str
    given_out_again: tuple[int, int] | None
    """The first and the last number that would be used again after the restore."""
    means_another: tuple[int, int] | None
    """The first and the last number that mean another version or deployment in the backup: the histories differ."""


@dataclass
class Lost:
    """All losses of a kind. Only the first ones are stored; the others are counted."""

    parents: int = 0
    pieces: int = 0
    numbers: int = 0
    """How many numbers would be used again."""
    shown: list[Loss] = field(default_factory=list)


@dataclass(frozen=True)
class Losses:
    backup: str
    backed_up_at: datetime
    workflows: Lost
    apps: Lost
    rows: Mapping[str, tuple[int, int]]
    """Row counts of the backup and the installation, for tables in which they differ."""

    @property
    def any(self) -> bool:
        return bool(self.workflows.parents or self.apps.parents)


async def losses(file: Path, sources: Sequence[Source], say: Callable[[str], None]) -> Losses:
    """Compare a backup with the installation. Raises CannotRun."""
    async with open_snapshots(sources) as snapshots:
        backup = await read_backup(file, snapshots, say)
        say("What is there now")
        return Losses(
            file.name,
            backup.manifest.created_at,
            await _lost(snapshots, "workflow", _WORKFLOWS, backup.workflows),
            await _lost(snapshots, "deploy", _APPS, backup.apps),
            await _rows(snapshots, backup.manifest.rows),
        )


async def _lost(snapshots: Snapshots, service: str, statement: str, kept: Mapping[UUID, Kept]) -> Lost:
    lost = Lost()
    async for row in snapshots[service].rows(statement):
        backup, count = kept.get(row["id"]), row["count"]
        there = backup.there if backup else 0
        if backup is not None and count <= there:
            continue
        again = parted = None
        if backup is not None:
            again = (backup.count + 1, count) if count > backup.count else None
            parted = (there + 1, min(backup.count, count)) if backup.count > there else None
        lost.parents += 1
        lost.pieces += count - there
        lost.numbers += again[1] - again[0] + 1 if again else 0
        if len(lost.shown) < MAX_SHOWN:
            at, by = row["at"].isoformat(), row["by"]
            lost.shown.append(
                Loss(
                    str(row["id"]), row["name"], backup is not None, there + 1, count, count - there, at, by, again,
                    parted,
                )
            )  # fmt: skip
    return lost


async def _rows(snapshots: Snapshots, backed_up: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    there: dict[str, int] = {}
    for snapshot in snapshots.values():
        there |= await catalog.row_counts(snapshot.connection, [snapshot.schema])
    return {name: (backed_up.get(name, 0), count) for name, count in there.items() if count != backed_up.get(name, 0)}


def print_json(found: Losses, console: Console) -> None:
    content = {**asdict(found), "backed_up_at": found.backed_up_at.isoformat()}
    console.print(json.dumps(content, indent=1), markup=False, highlight=False, soft_wrap=True)


def print_losses(found: Losses, console: Console) -> None:
    console.print("\n".join(_lines(found)), markup=False, highlight=False, soft_wrap=True)


def _lines(found: Losses) -> Iterator[str]:
    backup = f"{printable(found.backup)}, of {found.backed_up_at:%Y-%m-%d %H:%M:%S}Z"
    if not found.any:
        yield f"Restoring {backup}, would lose no version and no deployment."
    else:
        yield f"Restoring {backup}, would lose what was made since, the newest first:"
        yield from _lost_lines(found.workflows, "workflow", "versions", "v")
        yield from _lost_lines(found.apps, "app", "deployments", "")
    if found.rows:
        tables = ", ".join(f"{name} {there:,} ({kept:,})" for name, (kept, there) in sorted(found.rows.items()))
        yield f"Rows now (and in the backup): {tables}."


def _lost_lines(lost: Lost, parent: str, pieces: str, prefix: str) -> Iterator[str]:
    yield f"  {lost.pieces:,} {pieces} of {lost.parents:,} {parent}s; {lost.numbers:,} of their numbers given out again"
    for loss in lost.shown:
        yield f"    {parent} {loss.id} {printable(loss.name)}: {_what(loss, prefix)}"
    if lost.parents > len(lost.shown):
        yield f"    and {lost.parents - len(lost.shown):,} more {parent}s"


def _what(loss: Loss, prefix: str) -> str:
    newest = f"the newest of {loss.newest_at[:19]}Z" + (f" by {printable(loss.newest_by)}" if loss.newest_by else "")
    if not loss.is_in_backup:
        return f"all of it, {loss.count:,} of them ({newest})"
    said = f"{_numbers((loss.first, loss.last), prefix)} ({loss.count:,}; {newest})"
    if loss.given_out_again:
        said += f"; given out again: {_numbers(loss.given_out_again, prefix)}"
    if loss.means_another:
        said += f"; something else in the backup: {_numbers(loss.means_another, prefix)}"
    return said


def _numbers(span: tuple[int, int], prefix: str) -> str:
    first, last = span
    return f"{prefix}{first}" if first == last else f"{prefix}{first} to {prefix}{last}"
