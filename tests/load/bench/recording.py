"""Converts the repository's statements into a pgbench script, so the floor always has the same SQL."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from service_kit.db import Connection, Row
from tests.load.bench.pgbench import Script

_PARAMETER = re.compile(r"\$(\d+)\b")


@dataclass(frozen=True, slots=True)
class Statement:
    sql: str
    values: Sequence[Any]
    rows: Sequence[Row] = ()


@dataclass
class Recorder:
    """A connection that records its statements. It is used in place of a Connection."""

    db: Connection
    sent: list[Statement] = field(default_factory=list)

    async def fetch(self, sql: str, *values: Any) -> list[Row]:
        rows = await self.db.fetch(sql, *values)
        self.sent.append(Statement(sql, values, rows))
        return list(rows)

    async def fetchrow(self, sql: str, *values: Any) -> Row | None:
        rows = await self.fetch(sql, *values)
        return rows[0] if rows else None

    async def fetchval(self, sql: str, *values: Any) -> Any:
        row = await self.fetchrow(sql, *values)
        return row[0] if row else None

    async def execute(self, sql: str, *values: Any) -> str:
        self.sent.append(Statement(sql, values))
        return str(await self.db.execute(sql, *values))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        self.sent.append(Statement("BEGIN", ()))
        async with self.db.transaction():
            yield
        self.sent.append(Statement("COMMIT", ()))


def script(sent: Sequence[Statement], known: set[UUID]) -> Script:
    """A script that can be repeated. Ids not in `known` are new each time, and values that a statement returned are
    passed to later statements."""
    writer = _Writer(sent, known)
    lines = [writer.line(place) for place in range(len(sent))]
    return Script("\n".join([*writer.prologue(), *lines]) + "\n", writer.variables)


class _Writer:
    def __init__(self, sent: Sequence[Statement], known: set[UUID]) -> None:
        self._sent = sent
        self._known = known
        self.variables: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._fresh: dict[UUID, str] = {}

    def prologue(self) -> list[str]:
        """Ids that several statements use."""
        made = ", ".join(f"uuidv7() AS {name}" for name in self._fresh.values())
        return [f"SELECT {made} \\gset"] if made else []

    def line(self, place: int) -> str:
        statement = self._sent[place]
        values = [self._text(value, place) for value in statement.values]
        sql = _PARAMETER.sub(lambda found: values[int(found[1]) - 1], statement.sql)
        sql = " ".join(line.partition("--")[0].strip() for line in sql.strip().splitlines())
        # A row that existed must exist each time. Otherwise pgbench stops, as it would measure something else.
        return f"{sql} \\gset s{place}_" if len(statement.rows) == 1 else f"{sql};"

    def _text(self, value: Any, place: int) -> str:
        if value is None:
            return "NULL"
        if earlier := self._returned(value, place):
            return f":{earlier}"
        if isinstance(value, UUID) and value not in self._known:
            users = sum(value in statement.values for statement in self._sent)
            return "uuidv7()" if users <= 1 else f":{self._fresh.setdefault(value, f'new_{len(self._fresh)}')}"
        if isinstance(value, list) and any(self._is_made(one, place) for one in value):
            return f"ARRAY[{', '.join(self._text(one, place) for one in value)}]"
        text = as_text(value)
        return f":{self._variable(text)}" if text else "''"  # pgbench does not accept empty variables

    def _is_made(self, value: Any, place: int) -> bool:
        """Whether the value is new each time."""
        return (isinstance(value, UUID) and value not in self._known) or bool(self._returned(value, place))

    def _returned(self, value: Any, before: int) -> str | None:
        """The variable of the value, if an earlier statement returned it in its only row."""
        if isinstance(value, bool) or not isinstance(value, UUID | datetime | int) or value in self._known:
            return None
        for place, statement in enumerate(self._sent[:before]):
            if len(statement.rows) == 1:
                for name, returned in statement.rows[0].items():
                    if type(returned) is type(value) and returned == value:
                        return f"s{place}_{name}"
        return None

    def _variable(self, text: str) -> str:
        name = self._names.setdefault(text, f"p{len(self._names)}")
        self.variables[name] = text
        return name


def as_text(value: Any) -> str:
    """A parameter as Postgres reads it."""
    match value:
        case bool():
            return "true" if value else "false"
        case bytes():
            # Documents are sent unchanged, digests in hexadecimal.
            return value.decode() if value[:1] in (b"{", b"[") else f"\\x{value.hex()}"
        case datetime():
            return value.isoformat()
        case list() | tuple():
            return "{" + ",".join(map(_element, value)) + "}"
    return str(value)


def _element(value: Any) -> str:
    """The value as text in an array."""
    if value is None:
        return "NULL"
    text = as_text(value)
    return text if isinstance(value, list | tuple) else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
