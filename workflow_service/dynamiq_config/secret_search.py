"""Finds out quickly whether a flow may contain a secret. Most flows do not, and the full check takes long."""

import json
from typing import Any

from workflow_service.dynamiq_config import catalogue, secret_values
from workflow_service.dynamiq_config.connections import dotted_type
from workflow_service.dynamiq_config.interpolation import Variable

_CONNECTION_KEYS = ("connection", "connections", "db_connection")


def is_suspicious(document: str) -> bool:
    """Whether the full check could warn of a secret. If False, it has no warning about secrets."""
    flow, shapes = json.loads(document), secret_values.shapes_hinted_at(document)
    confirmed = secret_values.confirmed_by(flow)
    readable: frozenset[str | None] | None = None  # inside a connection, the variables that it may name
    left: list[tuple[Any, str, secret_values.Place, frozenset[str | None] | None]] = [
        (flow, "", secret_values.NOWHERE, readable)
    ]
    while left:
        value, key, place, readable = left.pop()
        if isinstance(value, list):
            left += [(child, key, place, readable) for child in value]
            continue
        if not isinstance(value, dict):
            if secret_values.found_in(value, place, shapes) is not None:
                return True
            continue
        if (variable := Variable.of(value)) is not None:
            if not _may_be_read(variable, place, confirmed, readable):
                return True
            left.append((variable.default, key, place, readable))
            continue
        if (name := dotted_type(value)) is not None:
            if place.in_schema:
                place = secret_values.NOWHERE  # the full check starts over at each node
            if key in _CONNECTION_KEYS or catalogue.is_connection(name):
                readable = _own_variables(name) | confirmed
        within = "connection" if key == "connections" else None
        left += [(child, within or name, place.below(name), readable) for name, child in value.items()]
    return False


def _may_be_read(
    variable: Variable, place: secret_values.Place, confirmed: frozenset[str], readable: frozenset[str | None] | None
) -> bool:
    return secret_values.may_be_read(variable, place, confirmed) if readable is None else variable.name in readable


def _own_variables(name: str) -> frozenset[str | None]:
    return frozenset(field.env for field in (catalogue.connection_fields(name) or {}).values())
