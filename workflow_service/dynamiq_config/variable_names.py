"""Names the variables of an export, so that connections with different values never read the same one.

A variable has the name that its class reads (OPENAI_API_KEY) if all connections that read it have the same value.
Otherwise each of them has a variable named after the connection (BILLING_API_KEY).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from workflow_service.dynamiq_config.interpolation import Variable

MAX_ID_CHARS = 64
"""Maximum characters of a connection's id in a variable's name."""
_NOT_IN_A_NAME = re.compile(r"[^A-Z0-9]+")


@dataclass(frozen=True, slots=True)
class NewVariable:
    """A variable that replaces a value. `usual` is the variable that the class reads; `value` identifies the replaced
    value."""

    usual: str
    type_name: str
    field: str
    stand_in: str
    value: str

    def named(self, name: str, *, with_default: bool) -> Variable:
        return Variable(name, self.stand_in, True) if with_default else Variable(name)


Body = Mapping[str, Any]
"""A connection's fields. Variables are Variable or NewVariable. Other values are as in YAML."""


class VariableNames:
    """The variables of one export."""

    def __init__(self, taken: Iterable[str] = (), *, with_defaults: bool = True) -> None:
        """`taken` are names that are already in use. Without defaults, loading fails if a variable is not set."""
        self._taken = set(taken)
        self._with_defaults = with_defaults
        self._names: dict[tuple[str, str], str] = {}
        self._shared: set[str] = set()
        """Usual names for which connections have different values."""

    def write(self, connections: Mapping[str, Body]) -> dict[str, dict[str, Any]]:
        """Connections by id, with variables written as text."""
        values: dict[str, dict[str, None]] = {}
        for body in connections.values():
            self._taken |= {field.name for field in body.values() if isinstance(field, Variable)}
            for field in body.values():
                if isinstance(field, NewVariable):
                    values.setdefault(field.usual, {})[field.value] = None
        self._shared |= {usual for usual, found in values.items() if len(found) > 1}
        for usual, found in values.items():
            if usual not in self._shared and usual not in self._taken:
                self._names.update({(usual, value): usual for value in found})
        self._taken |= set(self._names.values())
        return {name: self.write_one(name, body) for name, body in connections.items()}

    def write_one(self, name: str, body: Body) -> dict[str, Any]:
        """Like `write`, for one more connection."""
        return {key: self._written(name, field) for key, field in body.items()}

    def _written(self, connection: str, field: Any) -> Any:
        if isinstance(field, Variable):
            return field.text()
        if not isinstance(field, NewVariable):
            return field
        key = field.usual, field.value
        if key not in self._names:
            self._names[key] = self._free(connection, field)
            self._taken.add(self._names[key])
        return field.named(self._names[key], with_default=self._with_defaults).text()

    def _free(self, connection: str, field: NewVariable) -> str:
        if field.usual not in self._shared and field.usual not in self._taken:
            return field.usual
        words = _NOT_IN_A_NAME.sub("_", connection[:MAX_ID_CHARS].upper()).strip("_")
        if not words or words[0].isdigit():
            words = f"{field.type_name.rpartition('.')[2].upper()}_{words}".strip("_")
        name = own = f"{words}_{field.field.upper()}"
        number = 1
        while name in self._taken:
            number += 1
            name = f"{own}_{number}"
        return name


def are_alike(one: Body, other: Body) -> bool:
    """Whether two connections are equal except for the names of their variables."""
    return one.keys() == other.keys() and all(_nameless(one[key]) == _nameless(other[key]) for key in one)


def _nameless(field: Any) -> Any:
    if isinstance(field, NewVariable):
        return Variable("", field.stand_in, True)
    return Variable("", field.default, field.has_default) if isinstance(field, Variable) else field
