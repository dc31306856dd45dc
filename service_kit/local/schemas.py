"""The schemas of a run: which migrations the code knows, and what is missing from those that have run."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Schema:
    """A service's own schema in Postgres."""

    name: str
    migrations: Path

    @property
    def known(self) -> dict[str, str]:
        """The migrations' names by their versions, oldest first."""
        return {path.name.partition("_")[0]: path.stem for path in sorted(self.migrations.glob("*.sql"))}

    def missing(self, applied: Iterable[str]) -> list[str]:
        """The names of those that have still to run."""
        ran = set(applied)
        return [name for version, name in self.known.items() if version not in ran]

    def unknown(self, applied: Iterable[str]) -> list[str]:
        """The versions that a newer code has run."""
        return [version for version in applied if version not in self.known]
