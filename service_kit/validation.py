"""What every request must satisfy by its contract alone: required fields are there, ids are UUIDs."""

from collections.abc import Callable, Iterator
from functools import cache
from uuid import UUID

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

Check = Callable[[Message, str], Iterator[tuple[str, str]]]


def violations(message: Message) -> dict[str, str]:
    """Map the path of each field that breaks the contract to a sentence; empty when none does.

    The rules are `google.api.field_behavior = REQUIRED`, that a string field named `…_id` holds a UUID, and that none
    holds a NUL character, which Postgres cannot keep.
    """
    return dict(_check_of(message.DESCRIPTOR)(message, ""))


@cache
def _check_of(descriptor: Descriptor) -> Check:
    checks = [check for field in descriptor.fields for check in _field_checks(field)]

    def check(message: Message, prefix: str) -> Iterator[tuple[str, str]]:
        for check in checks:
            yield from check(message, prefix)

    return check


def _field_checks(field: FieldDescriptor) -> Iterator[Check]:
    if is_required(field):
        yield _presence(field.name) if field.has_presence else _not_blank(field.name)
    if field.type == FieldDescriptor.TYPE_STRING and field.name.endswith("_id"):
        yield _uuid(field.name, always=not field.has_presence)
    elif field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
        yield _no_nul(field.name)
    if field.message_type is not None and _has_rules(field.message_type, frozenset()):
        yield (
            _each(field.name, _check_of(field.message_type))
            if field.is_repeated
            else _inside(field.name, _check_of(field.message_type))
        )


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
    def check(message: Message, prefix: str) -> Iterator[tuple[str, str]]:
        if not message.HasField(name):
            yield prefix + name, "is required"

    return check


def _not_blank(name: str) -> Check:
    def check(message: Message, prefix: str) -> Iterator[tuple[str, str]]:
        value = getattr(message, name)
        if not value:
            yield prefix + name, "is required" if isinstance(value, int) else "cannot be blank"

    return check


def _uuid(name: str, *, always: bool) -> Check:
    def check(message: Message, prefix: str) -> Iterator[tuple[str, str]]:
        value = getattr(message, name)
        # A blank required id is reported as blank; a blank optional one that was sent is no UUID.
        if (value if always else message.HasField(name)) and not is_uuid(value):
            yield prefix + name, "must be a UUID"

    return check


def _no_nul(name: str) -> Check:
    def check(message: Message, prefix: str) -> Iterator[tuple[str, str]]:
        if "\0" in getattr(message, name):
            yield prefix + name, "cannot hold a NUL character"

    return check


def _inside(name: str, check_value: Check) -> Check:
    def check(message: Message, prefix: str) -> Iterator[tuple[str, str]]:
        if message.HasField(name):
            yield from check_value(getattr(message, name), f"{prefix}{name}.")

    return check


def _each(name: str, check_value: Check) -> Check:
    def check(message: Message, prefix: str) -> Iterator[tuple[str, str]]:
        for index, value in enumerate(getattr(message, name)):
            yield from check_value(value, f"{prefix}{name}[{index}].")

    return check


def is_uuid(value: str) -> bool:
    """Whether `value` is a UUID in the usual 8-4-4-4-12 form; Python's own parser also takes braces and URNs."""
    if len(value) != 36:
        return False
    try:
        return str(UUID(value)) == value.lower()
    except ValueError:
        return False
