"""Names and fields of the SDK's classes. The data is written by make_catalogue.py."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

Kind = Literal["number", "boolean", "enum", "literal", "string", "object"]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a connection class; `env` is the variable the class reads when the field is left out."""

    kind: Kind
    values: tuple[Any, ...] = ()
    default: str | int | float | bool | None = None
    env: str | None = None
    required: bool = False
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class NodeType:
    type: str
    group: str
    name: str


def node_types(group: str = "") -> Sequence[NodeType]:
    """Every node type of the SDK, or those of one group (llms, tools, …), by type."""
    found = (NodeType(name, row["group"], row["name"]) for name, row in _data()["nodes"].items())
    return [node for node in found if not group or node.group == group]


def is_node_type(name: str) -> bool:
    return name in _node_names()


def accepted_connections(type_name: str) -> Sequence[str]:
    """The connection classes that a node type, a memory backend or the like declares, the first one first."""
    return _accepted().get(type_name, ())


def is_connection(name: str) -> bool:
    """Whether it is a connection class, or has a name like one that the catalogue does not know."""
    return name in _connections() or ".connections." in name


def connection_fields(name: str) -> Mapping[str, Field] | None:
    """The fields of a connection class, `id` aside; None for a class that is not the SDK's."""
    return _connections().get(name)


def variables() -> frozenset[str]:
    """Every variable that some connection class reads."""
    return frozenset(field.env for fields in _connections().values() for field in fields.values() if field.env)


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(resources.files(__package__).joinpath("catalogue.json").read_bytes())
    return data


def _names(type_name: str, row: Mapping[str, Any]) -> list[str]:
    return [type_name, *row.get("aliases", ())]


@cache
def _node_names() -> frozenset[str]:
    return frozenset(name for key, row in _data()["nodes"].items() for name in _names(key, row))


@cache
def _accepted() -> dict[str, tuple[str, ...]]:
    rows = [*_data()["nodes"].items(), *_data()["components"].items()]
    return {name: tuple(row.get("connections", ())) for key, row in rows for name in _names(key, row)}


def other_names() -> dict[str, str]:
    """The class of each other name that loads a node type or another class that takes a connection."""
    rows = [*_data()["nodes"].items(), *_data()["components"].items()]
    return {alias: key for key, row in rows for alias in row.get("aliases", ())}


@cache
def _connections() -> dict[str, dict[str, Field]]:
    known = {
        name: {key: Field(**{**row, "values": tuple(row.get("values", ()))}) for key, row in fields.items()}
        for name, fields in _data()["connections"].items()
    }
    modules = {f"dynamiq.connections.connections.{name.rpartition('.')[2]}": fields for name, fields in known.items()}
    return modules | known
