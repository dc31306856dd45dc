"""The form of each scalar type in JSON and in query strings."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, TypeAlias

import msgspec
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from gateway import rules
from service_kit import comments

Value: TypeAlias = Any
"""A field's value. Its type depends on the descriptor."""

TIMESTAMP = "google.protobuf.Timestamp"
LONE_SURROGATE = "must not contain half of a surrogate pair"

NUMBER = re.compile(rb"-?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,20})?")
"""A number in JSON of a sensible length."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RFC_3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-]\d\d:\d\d))", re.ASCII)


TypeForm: TypeAlias = Any
"""A type for msgspec, which may be Annotated."""


class WrongValue(ValueError):
    """A value that is invalid for its field. The message says what it must be."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """Readers of one value, which raise WrongValue. `from_json` receives the text of a valid JSON value."""

    from_json: Callable[[bytes], Value]
    from_text: Callable[[str], Value]


def scalar(field: FieldDescriptor) -> Scalar | None:
    """The reader of a scalar, an enum or a timestamp. None for other messages."""
    if field.enum_type is not None:
        return _named(enum_names(field.enum_type))
    if field.message_type is not None and field.message_type.full_name == TIMESTAMP:
        return _quoted(_timestamp, "must be an RFC 3339 time such as 2026-01-31T12:00:00Z")
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return Scalar(_json(str, "must be a string"), _text)
        case FieldDescriptor.TYPE_BOOL:
            return _literal(bool, "must be true or false")
        case FieldDescriptor.TYPE_DOUBLE | FieldDescriptor.TYPE_FLOAT:
            return _literal(float, "must be a number")
    bounds = INTEGERS.get(field.type)
    return bounds and _integer(*bounds, rules.of_integer(comments.kept().get(field.full_name, "")))


INTEGERS: dict[int, tuple[int, int]] = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}


def enum_names(enum: EnumDescriptor) -> dict[str, int]:
    """The short lower-case names: WORKFLOW_STATUS_DRAFT of WorkflowStatus is `draft`."""
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
    return {value.name.removeprefix(prefix).lower(): value.number for value in enum.values}


def time(seconds: int, nanos: int) -> datetime:
    return EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)


def _json(kind: TypeForm, must_be: str) -> Callable[[bytes], Value]:
    decode = msgspec.json.Decoder(kind).decode

    def read(raw: bytes) -> Value:
        try:
            return decode(raw)
        except msgspec.ValidationError:
            raise WrongValue(must_be) from None
        except msgspec.DecodeError:
            # The syntax was checked before, so this is the only other error.
            raise WrongValue(LONE_SURROGATE) from None

    return read


def _text(text: str) -> str:
    if not _is_utf8(text):
        raise WrongValue("must be UTF-8")
    return text


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _literal(kind: TypeForm, must_be: str) -> Scalar:
    """A value that is written the same way in a query string and in JSON."""
    decode = msgspec.json.Decoder(kind).decode

    def from_text(text: str) -> Value:
        try:
            return decode(text.encode())
        except ValueError:
            raise WrongValue(must_be) from None

    return Scalar(_json(kind, must_be), from_text)


def _integer(lowest: int, highest: int, rule: Mapping[str, int]) -> Scalar:
    """Reads integers. `2.0` is the integer 2, as in JSON Schema (2020-12, section 4.2.3) and in protobuf's JSON.

    The error names the range from the field's comment, but only the range of the type is checked here. The service
    checks the rest.
    """
    decode = msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=lowest, le=highest)]).decode
    must_be = f"must be an integer from {rule.get('minimum', lowest)} to {rule.get('maximum', highest)}"

    def read(raw: bytes) -> Value:
        try:
            return decode(raw)
        except ValueError:
            pass
        value = Decimal(raw.decode()) if NUMBER.fullmatch(raw) else None
        # Check the bounds first, because 1e999999999 as an int would fill the memory.
        if value is None or not lowest <= value <= highest or value != int(value):
            raise WrongValue(must_be)
        return int(value)

    return Scalar(read, lambda text: read(text.encode()))


def _quoted(from_text: Callable[[str], Value], must_be: str) -> Scalar:
    """A value that is a string in JSON."""
    string = _json(str, must_be)

    def read(text: str) -> Value:
        try:
            return from_text(text)
        except (ValueError, OverflowError):
            raise WrongValue(must_be) from None

    return Scalar(lambda raw: read(string(raw)), read)


def _named(names: dict[str, int]) -> Scalar:
    numbers = {name: number for name, number in names.items() if number}
    must_be = f"must be one of {', '.join(numbers)}"

    def number(name: str) -> int:
        if name not in numbers:
            raise WrongValue(must_be)
        return numbers[name]

    return _quoted(number, must_be)


def _timestamp(text: str) -> dict[str, int]:
    # A `+` that a query string leaves unescaped arrives as a space.
    match = RFC_3339.fullmatch(re.sub(r" (?=\d\d:\d\d$)", "+", text) if len(text) > 20 else text)
    if match is None:
        raise ValueError(text)
    day, clock, fraction, offset = match.groups()
    moment = datetime.fromisoformat(f"{day}T{clock}{offset or '+00:00'}").astimezone(UTC)
    return {"seconds": int((moment - EPOCH).total_seconds()), "nanos": int((fraction or "0").ljust(9, "0"))}
