"""Exports connections without values that could be secrets."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from service_kit.paths import Path
from workflow_service.dynamiq_config import catalogue, secret_values
from workflow_service.dynamiq_config.catalogue import Field
from workflow_service.dynamiq_config.interpolation import Variable, escape
from workflow_service.dynamiq_config.problems import Problems
from workflow_service.dynamiq_config.variable_names import NewVariable
from workflow_service.flow import DOTTED_NAME

# The key under which an import stores the id that a connection has in its file. Exports do not use a connection's own
# `id`, because it can contain any text.
FILE_ID = "$id"
_NUMBER = re.compile(r"[+-]?\d{1,16}(\.\d{1,16})?", re.ASCII)
_NOT_IN_A_NAME = re.compile(r"[^A-Z0-9_]+")
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)


def dotted_type(value: Any) -> str | None:
    """The class in the `type` of a node or a connection, or None."""
    name = value.get("type") if isinstance(value, dict) else None
    return name if isinstance(name, str) and DOTTED_NAME.fullmatch(name) else None


def without_secrets(
    connection: Mapping[str, Any], path: Path, problems: Problems, confirmed: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """The exported fields of an inline connection: numbers, booleans, enums, literals and defaults. Text becomes
    variables.

    Variables have no name yet. Variables of the connection keep their name if its class reads them or they are
    `confirmed`.
    """
    name: str = connection["type"]
    known = catalogue.connection_fields(name)
    exported: dict[str, Any] = {"type": name}
    unknown = False
    own = frozenset(field.env for field in (known or {}).values())
    for key, value in connection.items():
        if key in ("type", "id", FILE_ID):
            continue
        where = (path, key) if known is not None and key in known else path
        _warn_of_secrets(value, where, secret_values.NOWHERE.below(key), own | confirmed, problems)
        field = known.get(key) if known is not None else _guess(key, value)
        if field is None:
            unknown = True
        elif (kept := _kept(name, key, field, value, own | confirmed)) is not None:
            exported[key] = kept[0]
        else:
            problems.warn((path, key), "is not exported: set it in config.yaml")
    if unknown:
        # The names of unknown fields could contain secrets too.
        problems.warn(path, "has fields that its class does not have; they are not exported")
    return exported


def by_reference(name: str, connection_id: str = "") -> dict[str, Any]:
    """A connection of which only the id is known: a class, and a variable for each field that must be set."""
    fields = catalogue.connection_fields(name) or {}
    wanted = {
        key: field
        for key, field in fields.items()
        if field.required or (field.kind == "string" and field.env and field.default is None and not field.nullable)
    }
    value = f"of {connection_id}"  # differs from every JSON text
    return {"type": name} | {key: _variable(name, key, field, value) for key, field in wanted.items()}


def in_common(accepted: Sequence[Sequence[str]]) -> list[str]:
    """The classes that all of several nodes accept, in the order of the first node."""
    distinct = list(dict.fromkeys(map(tuple, accepted)))
    return [name for name in distinct[0] if all(name in others for others in distinct)]


def _warn_of_secrets(
    value: Any, path: Path, place: secret_values.Place, readable: frozenset[str | None], problems: Problems
) -> None:
    """Warn of secrets in a field of a connection. `readable` are the variables that the field may name.

    Warnings have the path of the field, because keys below it may be secret too.
    """
    left: list[tuple[Any, secret_values.Place]] = [(value, place)]
    while left:
        value, place = left.pop()
        if (variable := Variable.of(value)) is not None:
            if variable.name not in readable:
                problems.warn_of_secret(path, secret_values.VARIABLE)
            value = variable.default
        if isinstance(value, dict):
            left += [(child, place.below(key)) for key, child in value.items()]
        elif isinstance(value, list):
            left += [(child, place) for child in value]
        elif (sentence := secret_values.found_in(value, place)) is not None:
            problems.warn_of_secret(path, sentence)


def _kept(name: str, key: str, field: Field, value: Any, readable: frozenset[str | None]) -> tuple[Any] | None:
    """The exported value in a tuple, or None when the field is left out."""
    if (variable := Variable.of(value)) is not None and variable.name in readable:
        safe = not variable.has_default or variable.default is None or _is_plain(field, variable.default)
        return (variable if safe else Variable(variable.name, "", True),)
    if value is None:
        return (None,) if field.nullable else None
    if isinstance(value, str | int | float) and _is_plain(field, value):
        return (escape(value) if isinstance(value, str) else value,)
    if field.kind == "string" or field.required:
        return (_variable(name, key, field, json.dumps(value, sort_keys=True)),)
    return None


def _is_plain(field: Field, value: str | int | float) -> bool:
    """Whether a value has only content that its class defines, or is a number, and so is not secret."""
    if field.default is not None and str(value) == str(field.default):
        return True
    if field.kind == "boolean":
        return str(value).lower() in ("true", "false")
    if field.kind == "number":
        return not isinstance(value, bool) and (not isinstance(value, str) or _NUMBER.fullmatch(value) is not None)
    return field.kind in ("enum", "literal") and value in field.values


def _variable(name: str, key: str, field: Field, value: str) -> NewVariable:
    stand_in = field.values[0] if field.values else 0 if field.kind == "number" else ""
    return NewVariable(field.env or own_name(name.rpartition(".")[2], key), name, key, str(stand_in), value)


def own_name(*words: str) -> str:
    """A name for a new variable. No class reads a variable of this name."""
    name = _NOT_IN_A_NAME.sub("_", "_".join(word[:64] for word in words).upper()).strip("_")
    return f"FLOW_{name}" if not name or name[0].isdigit() or secret_values.is_of_a_class(name) else name


def _guess(key: str, value: Any) -> Field | None:
    """A field of a class that is not in the catalogue, judged by its value."""
    if not _IDENTIFIER.fullmatch(key):
        return None
    if isinstance(value, bool):
        return Field("boolean")
    if isinstance(value, int | float):
        return Field("number")
    return Field("string") if isinstance(value, str) or Variable.of(value) else Field("object")
