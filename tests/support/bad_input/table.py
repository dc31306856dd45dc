"""A row of the table of bad input: a call over REST or gRPC, and the expected answer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NODES = '[{"id": "a", "type": "x.Y"}]'
FLOW = f'{{"nodes": {NODES}}}'
MARK = re.compile(r"<(\w+)>")
"""`<workflow>` in a path, a body or a message is replaced by the id of that thing."""


@dataclass(frozen=True)
class Rest:
    """One call through the gateway. A body of bytes is sent unchanged."""

    method: str
    path: str
    body: Any = None
    token: str | None = "admin"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rpc:
    """One call directly to the service that has an RPC of this name."""

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    token: str | None = "admin"
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bad:
    """`code` is the gRPC code. `http` is given where it differs from the code's status. `fields` None: not compared."""

    rule: str
    sent: Rest | Rpc
    code: str
    reason: str | None
    fields: tuple[str, ...] | None = None
    http: tuple[int, str] | None = None

    def __str__(self) -> str:
        face = f"{self.sent.method} {self.sent.path}"[:60] if isinstance(self.sent, Rest) else self.sent.name
        return f"{self.rule} ({face})"


@dataclass(frozen=True)
class Good:
    rule: str
    sent: Rest | Rpc
    status: int = 200

    def __str__(self) -> str:
        return self.rule


def wrong(rule: str, sent: Rest | Rpc, *fields: str, reason: str = "INVALID_REQUEST", **more: Any) -> Bad:
    """An INVALID_ARGUMENT that names exactly these fields."""
    return Bad(rule, sent, "INVALID_ARGUMENT", reason, fields, **more)


def fill(value: Any, known: Mapping[str, str]) -> Any:
    """`value` with each mark replaced by an id."""
    if isinstance(value, str):
        return MARK.sub(lambda match: known[match[1]], value)
    if isinstance(value, bytes):
        return re.sub(rb"<(\w+)>", lambda match: known[match[1].decode()].encode(), value)
    if isinstance(value, Mapping):
        return {key: fill(child, known) for key, child in value.items()}
    return [fill(child, known) for child in value] if isinstance(value, list) else value
