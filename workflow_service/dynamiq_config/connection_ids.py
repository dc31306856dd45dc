"""Builds the `connections` of a config.yaml from those that nodes name by id or contain inline. Each gets one id."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from service_kit.paths import Path
from workflow_service.dynamiq_config.connections import FILE_ID, by_reference, dotted_type, in_common
from workflow_service.dynamiq_config.problems import Problems
from workflow_service.dynamiq_config.variable_names import Body, VariableNames, are_alike


@dataclass(frozen=True, slots=True)
class _Use:
    """A place where a node names or contains a connection. `accepted` are the classes that the node accepts.

    For an inline connection, `body` contains its exported fields, and `raw` identifies it.
    """

    owner: dict[str, Any]
    path: Path
    name: str
    accepted: Sequence[str]
    body: Body | None = None
    raw: str = ""


class ConnectionCollector:
    """Collects the uses of connections. `fill_in` then gives ids to inline ones, and writes the ids to the nodes."""

    def __init__(
        self,
        defined: Any,
        problems: Problems,
        variables: VariableNames,
        body_of: Callable[[dict[str, Any], Path], Body],
    ) -> None:
        """`body_of` returns the fields of a connection that are written."""
        self._defined = defined if isinstance(defined, dict) else {}
        self._problems = problems
        self._uses: list[_Use] = []
        self._counters: dict[str, int] = {}
        self.variables = variables
        self._body_of = body_of
        self.connections: dict[str, dict[str, Any]] = {}
        self.comments: dict[str, str] = {}

    def name(self, owner: dict[str, Any], path: Path, name: str, accepted: Sequence[str]) -> None:
        self._uses.append(_Use(owner, path, name, accepted))

    def hold(self, owner: dict[str, Any], path: Path, connection: dict[str, Any], accepted: Sequence[str]) -> None:
        body = self._body_of(connection, path)
        name = connection.get(FILE_ID)
        if not isinstance(name, str) or not name:
            name = body["type"].rpartition(".")[2].lower()
        raw = json.dumps({key: value for key, value in connection.items() if key != "id"}, sort_keys=True)
        self._uses.append(_Use(owner, path, name, accepted, body, raw))

    def fill_in(self) -> None:
        named: dict[str, list[_Use]] = {}
        for use in self._uses:
            if use.body is None:
                named.setdefault(use.name, []).append(use)
        taken = frozenset(named)
        alike: dict[tuple[str, str], str] = {}
        users: dict[str, list[_Use]] = {}
        for use in self._uses:
            name = use.name
            if use.body is not None:
                key = use.name, use.raw
                if key not in alike:
                    alike[key] = self._free(use.name, taken)
                    self.connections[alike[key]] = dict(use.body)
                name = alike[key]
            elif uses := named.pop(name, None):
                self._add_named(name, uses)
            use.owner["connection"] = name
            users.setdefault(name, []).append(use)
        for name, body in self.connections.items():
            first, *others = in_common([use.accepted for use in users[name]]) or [""]
            # Decided by the content alone, because an import cannot see whether the connection was inline or an id.
            if others and are_alike(body, by_reference(first)):
                self.comments[name] = f"or {', '.join(others)}"
        self.connections = self.variables.write(self.connections)

    def _free(self, name: str, taken: frozenset[str]) -> str:
        base = name
        while name in self.connections or name in taken:
            self._counters[base] = self._counters.get(base, 1) + 1
            name = f"{base}-{self._counters[base]}"
        return name

    def _add_named(self, name: str, uses: list[_Use]) -> None:
        defined = self._defined.get(name)
        if defined and dotted_type(defined):
            self.connections[name] = dict(self._body_of(defined, ("flow.connections", name)))
            return
        if unknown := next((use for use in uses if not use.accepted), None):
            self._problems.error(unknown.path, "is an id, and which class of connection the node takes is not known")
            return
        types = in_common([use.accepted for use in uses])
        if not types:
            self._problems.error(uses[0].path, "is the connection of nodes that take none in common")
            return
        self.connections[name] = by_reference(types[0], name)
        if types[1:]:
            self._problems.warn(uses[0].path, f"is exported as {types[0]}; it could be {', '.join(types[1:])}")
