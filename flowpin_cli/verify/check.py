"""Checks and their outcome."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

from flowpin_cli.verify.snapshot import Row, Snapshot

MAX_SHOWN = 10
"""Maximum findings per check that are stored. Others are only counted."""

Snapshots: TypeAlias = Mapping[str, Snapshot]
"""Snapshots by service: workflow, deploy, and run if apps run."""
Finding: TypeAlias = dict[str, str | int]
"""The fault (`what`, usually `expected` and `found`), and its place (`workflow`, `version`, `app` …)."""


@dataclass
class Outcome:
    """The number of checked items, and the findings."""

    say: Callable[[int], None] = lambda checked: None
    """Called with the number of items that are checked so far."""
    checked: int = 0
    found: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, row: Mapping[str, Any] | Row) -> None:
        """Add a finding. Values that are None are omitted."""
        self.found += 1
        if len(self.findings) < MAX_SHOWN:
            self.findings.append({name: _plain(value) for name, value in row.items() if value is not None})

    def count(self, pieces: int) -> None:
        self.checked += pieces
        self.say(self.checked)


@dataclass(frozen=True)
class Check:
    """A promise and its check. `pieces` names the items that are counted."""

    name: str
    promise: str
    pieces: str
    look: Callable[[Snapshots, Outcome], Awaitable[None]]


def query(service: str, counted: str, *broken: str) -> Callable[[Snapshots, Outcome], Awaitable[None]]:
    """A check by statements. `counted` returns the number of items, and each of `broken` returns invalid ones."""

    async def look(snapshots: Snapshots, outcome: Outcome) -> None:
        snapshot = snapshots[service]
        outcome.count(await snapshot.value(counted))
        for statement in broken:
            async for row in snapshot.rows(statement):
                outcome.add(row)

    return look


def _plain(value: object) -> str | int:
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, int) and not isinstance(value, bool) else str(value)


def is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
