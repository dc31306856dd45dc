"""Checks every request against its contract: required fields are set, ids are UUIDs."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from operator import attrgetter

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

Check = Callable[[Message, str, dict[str, str]], None]
"""Adds the problems of a message by path. The string is the prefix of the paths."""
DOCUMENTS = {"flowpin.workflow.v1.ImportWorkflowRequest.config"}
"""Text fields that may be as large as a message."""
NO_UUIDS = {
    "flowpin.run.v1.InvokeAppRequest.user_id",
    "flowpin.run.v1.InvokeAppRequest.session_id",
}
"""Text fields ending in _id whose values callers choose."""
MAX_TEXT_CHARS = 1 << 16
"""Limit of all other texts. Each use has a smaller limit, but would have to read the whole text first."""
MAX_ENTRIES = 100
"""Maximum entries of a list of messages in a request."""
TOO_MANY_ENTRIES = f"must have at most {MAX_ENTRIES} entries"
VERSION = "workflow_version_id"
"""The only field ending in _id that also accepts a label."""
LABEL = re.compile("@[a-z][a-z0-9-]{0,62}")
UUID = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def violations(message: Message) -> dict[str, str]:
    """Map the path of each field that breaks the contract to a sentence. Empty if none does.

    Rules: fields with `google.api.field_behavior = REQUIRED` are set. A string field named `…_id` (except NO_UUIDS) is
    a UUID; `workflow_version_id` may also be `@` and a label. No text contains a NUL character, which Postgres cannot
    store. Texts have at most MAX_TEXT_CHARS, and lists of messages MAX_ENTRIES.
    """
    found: dict[str, str] = {}
    for check in _checks_of(message.DESCRIPTOR):
        check(message, "", found)
    return found


@cache
def _checks_of(descriptor: Descriptor) -> list[Check]:
    return [check for field in descriptor.fields for check in _field_checks(field)]


def _field_checks(field: FieldDescriptor) -> Iterator[Check]:
    if is_required(field) and field.has_presence:
        yield _presence(field.name)
    is_blank_wrong = is_required(field) and not field.has_presence
    if is_id(field):
        yield _id(field.name, is_blank_wrong=is_blank_wrong, may_be_sent_blank=not field.has_presence)
    elif field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
        yield _text(field, is_blank_wrong=is_blank_wrong)
    elif is_blank_wrong:
        yield _not_zero(field.name)
    if field.message_type is not None and _has_rules(field.message_type, frozenset()):
        checks = _checks_of(field.message_type)
        yield _each(field.name, checks) if field.is_repeated else _inside(field.name, checks)


def is_id(field: FieldDescriptor) -> bool:
    """Whether a request's field is an id of Flowpin."""
    is_named_so = field.type == FieldDescriptor.TYPE_STRING and field.name.endswith("_id")
    return is_named_so and field.full_name not in NO_UUIDS


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


def _not_zero(name: str) -> Check:
    get = attrgetter(name)

    def check(message: Message, prefix: str, found: dict[str, str]) -> None:
        value = get(message)
        if not value:
            found[prefix + name] = "is required" if isinstance(value, int) else "cannot be blank"

    return check


def _id(name: str, *, is_blank_wrong: bool, may_be_sent_blank: bool) -> Check:
    get = attrgetter(name)
    fits, rule = (is_version, "must be a UUID, or @ and a label") if name == VERSION else (is_uuid, "must be a UUID")

    def check(message: Message, prefix: str, found: dict[str, str]) -> None:
        value = get(message)
        if not value and is_blank_wrong:
            found[prefix + name] = "cannot be blank"
        elif (value if may_be_sent_blank else message.HasField(name)) and not fits(value):
            found[prefix + name] = rule

    return check


def _text(field: FieldDescriptor, *, is_blank_wrong: bool) -> Check:
    """The check reads the text only once, because for a document that takes up to 70 ms."""
    name, get = field.name, attrgetter(field.name)
    is_document = field.full_name in DOCUMENTS

    def check(message: Message, prefix: str, found: dict[str, str]) -> None:
        value = get(message)
        if not value and is_blank_wrong:
            found[prefix + name] = "cannot be blank"
        elif len(value) > MAX_TEXT_CHARS and not is_document:
            found[prefix + name] = f"must be at most {MAX_TEXT_CHARS:,} characters"
        elif "\0" in value:
            found[prefix + name] = "must not contain a NUL character"

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
        values = get(message)
        if len(values) > MAX_ENTRIES:
            found[prefix + name] = TOO_MANY_ENTRIES
            return
        for index, value in enumerate(values):
            for inner in checks:
                inner(value, f"{prefix}{name}[{index}].", found)

    return check


def is_uuid(value: str) -> bool:
    """Whether `value` is a UUID in the usual 8-4-4-4-12 form. Python's own parser also accepts braces and URNs."""
    return UUID.fullmatch(value) is not None


def is_version(value: str) -> bool:
    """Whether `value` is valid for a `workflow_version_id`."""
    return is_uuid(value) or LABEL.fullmatch(value) is not None
