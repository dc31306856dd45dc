"""Names and fields of the SDK's classes. make_catalogue.py writes the data."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

Kind = Literal["number", "boolean", "enum", "literal", "string", "object"]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a connection class. `env` is the environment variable that the class reads if the field is missing."""

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
    """All node types of the SDK, or those of one group (llms, tools, …), by type."""
    found = (NodeType(name, row["group"], row["name"]) for name, row in _data()["nodes"].items())
    return [node for node in found if not group or node.group == group]


def is_node_type(name: str) -> bool:
    return name in _node_names()


def accepted_connections(type_name: str) -> Sequence[str]:
    """The connection classes that a node type, memory backend or similar class declares, in its order."""
    return _accepted().get(type_name, ())


def is_connection(name: str) -> bool:
    """Whether the name is that of a connection class, or looks like one that the catalogue does not have."""
    return name in _connections() or ".connections." in name


def connection_fields(name: str) -> Mapping[str, Field] | None:
    """The fields of a connection class except `id`. None if the class is not from the SDK."""
    return _connections().get(name)


def variables() -> frozenset[str]:
    """All environment variables that connection classes read."""
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
    """Maps other dotted names to the node types and components that they load."""
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
