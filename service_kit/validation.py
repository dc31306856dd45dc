"""What every request must satisfy by its contract alone: required fields are there, ids are UUIDs."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from operator import attrgetter

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

Check = Callable[[Message, str, dict[str, str]], None]
"""Adds what is wrong with a message, by path; the paths begin with the string."""
UUID = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def violations(message: Message) -> dict[str, str]:
    """Map the path of each field that breaks the contract to a sentence; empty when none does.

    The rules are `google.api.field_behavior = REQUIRED`, that a string field named `…_id` holds a UUID, and that none
    holds a NUL character, which Postgres cannot keep.
    """
    found: dict[str, str] = {}
    for check in _checks_of(message.DESCRIPTOR):
        check(message, "", found)
    return found


@cache
def _checks_of(descriptor: Descriptor) -> list[Check]:
    return [check for field in descriptor.fields for check in _field_checks(field)]


def _field_checks(field: FieldDescriptor) -> Iterator[Check]:
    if is_required(field):
        yield _presence(field.name) if field.has_presence else _not_blank(field.name)
    if field.type == FieldDescriptor.TYPE_STRING and field.name.endswith("_id"):
        yield _uuid(field.name, always=not field.has_presence)
    elif field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
        yield _no_nul(field.name)
    if field.message_type is not None and _has_rules(field.message_type, frozenset()):
        checks = _checks_of(field.message_type)
        yield _each(field.name, checks) if field.is_repeated else _inside(field.name, checks)


def is_required(field: FieldDescriptor) -> bool:
    """Whether the contract marks the field `google.api.field_behavior = REQUIRED`."""
    behaviors = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return field_behavior_pb2.REQUIRED in behaviors


def _has_rules(descriptor: Descriptor | None, seen: frozenset[str]) -> bool:
    if descriptor is None or descriptor.full_name in seen:
        return False
    seen |= {descriptor.full_name}
    return any(
        is_required(field) or field.type == FieldDescriptor.TYPE_STRING or _has_rules(field.message_type, seen)
        for field in descriptor.fields
    )


def _presence(name: str) -> Check:
    def check(message: Message, prefix: str, found: dict[str, str]) -> None:
        if not message.HasField(name):
            found[prefix + name] = "is required"

    return check


def _not_blank(name: str) -> Check:
    get = attrgetter(name)

    def check(message: Message, prefix: str, found: dict[str, str]) -> None:
        value = get(message)
        if not value:
            found[prefix + name] = "is required" if isinstance(value, int) else "cannot be blank"

    return check


def _uuid(name: str, *, always: bool) -> Check:
    get = attrgetter(name)

    def check(message: Message, prefix: str, found: dict[str, str]) -> None:
        value = get(message)
        # A blank required id is reported as blank; a blank optional one that was sent is no UUID.
        if (value if always else message.HasField(name)) and not is_uuid(value):
            found[prefix + name] = "must be a UUID"

    return check


def _no_nul(name: str) -> Check:
    get = attrgetter(name)

    def check(message: Message, prefix: str, found: dict[str, str]) -> None:
        if "\0" in get(message):
            found[prefix + name] = "cannot hold a NUL character"

    return check


def _inside(name: str, checks: list[Check]) -> Check:
    get = attrgetter(name)

    def check(message: Message, prefix: str, found: dict[str, str]) -> None:
        if message.HasField(name):
            for inner in checks:
                inner(get(message), f"{prefix}{name}.", found)

    return check


def _each(name: str, checks: list[Check]) -> Check:
    get = attrgetter(name)

    def check(message: Message, prefix: str, found: dict[str, str]) -> None:
        for index, value in enumerate(get(message)):
            for inner in checks:
                inner(value, f"{prefix}{name}[{index}].", found)

    return check


def is_uuid(value: str) -> bool:
    """Whether `value` is a UUID in the usual 8-4-4-4-12 form; Python's own parser also takes braces and URNs."""
    return UUID.fullmatch(value) is not None
