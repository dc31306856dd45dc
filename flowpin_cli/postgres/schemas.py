"""The schemas of a run: the known and the missing migrations, and the objects that they create."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

MADE = re.compile(
    r"\b(?:CREATE (?:OR REPLACE )?(?:UNIQUE )?(TABLE|INDEX|FUNCTION|TRIGGER|SEQUENCE)|(CONSTRAINT))"
    r" (?:CONCURRENTLY )?(?:IF NOT EXISTS )?(\w+)"
)
DEFAULTED = re.compile(r"\bALTER TABLE (\w+) ALTER COLUMN (\w+) SET DEFAULT\b")


@dataclass(frozen=True)
class Schema:
    """A service's own schema in Postgres."""

    name: str
    migrations: Path
    is_optional: bool = False
    """Whether the schema is optional in an installation."""

    @property
    def known(self) -> dict[str, str]:
        """The migrations' names by their versions, oldest first."""
        return {path.name.partition("_")[0]: path.stem for path in self._files}

    def missing(self, applied: Iterable[str]) -> list[str]:
        """The names of migrations that have not run."""
        ran = set(applied)
        return [name for version, name in self.known.items() if version not in ran]

    def unknown(self, applied: Iterable[str]) -> list[str]:
        """Versions of migrations that only a newer release has."""
        return [version for version in applied if version not in self.known]

    def first(self, applied: Sequence[str]) -> list[Path] | None:
        """The files of these migrations. None unless they are the first ones, in order."""
        return self._files[: len(applied)] if list(self.known)[: len(applied)] == list(applied) else None

    @property
    def made(self) -> dict[str, set[str]]:
        """The names of objects that the migrations create, by kind, in the order that `archive_entries` needs."""
        text = "\n".join(path.read_text() for path in self._files)
        names = {kind: set[str]() for kind in ("TABLE", "INDEX", "FUNCTION", "TRIGGER", "SEQUENCE", "CONSTRAINT")}
        for created, constraint, name in MADE.findall(text):
            names[created or constraint].add(name)
        names["TABLE"].add("schema_migrations")  # the table of dbmate
        names["CONSTRAINT"].add("schema_migrations_pkey")
        names["DEFAULT"] = {f"{table} {column}" for table, column in DEFAULTED.findall(text)}
        return names

    @property
    def archive_entries(self) -> re.Pattern[str]:
        """The objects that the migrations create, as `pg_restore --list` names them, without numbers and owner."""
        table, index, function, trigger, sequence, constraint, default = (
            f"(?:{'|'.join(sorted(of)) or '(?!)'})" for of in self.made.values()
        )
        schema = re.escape(self.name)
        return re.compile(
            rf"SCHEMA - {schema}|ACL - SCHEMA {schema}"
            rf"|TABLE {schema} {table}|TABLE DATA {schema} {table}"
            rf"|ACL {schema} TABLE {table}|ACL {schema} COLUMN {table}\.\w+"
            rf"|INDEX {schema} {index}|(?:FK |CHECK )?CONSTRAINT {schema} {table} {constraint}"
            rf"|(?:FUNCTION|ACL) {schema} (?:FUNCTION )?{function}\([\w ,]*\)|TRIGGER {schema} {table} {trigger}"
            rf"|SEQUENCE (?:OWNED BY |SET )?{schema} {sequence}|ACL {schema} SEQUENCE {sequence}"
            rf"|DEFAULT {schema} {default}"
        )

    @property
    def _files(self) -> list[Path]:
        return sorted(self.migrations.glob("*.sql"))
