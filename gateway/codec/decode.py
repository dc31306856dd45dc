"""Compiles readers of JSON text for the fields of a message. They report every invalid field."""

from collections.abc import Callable
from typing import TypeAlias

import msgspec
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.codec.members import split_object
from gateway.codec.scalars import LONE_SURROGATE, Value, WrongValue, scalar
from service_kit.validation import MAX_ENTRIES, TOO_MANY_ENTRIES

Values: TypeAlias = dict[str, Value]
"""Keyword arguments to create a message. Nested messages are dicts too."""
Problems = dict[str, str]
"""The path of each invalid field, and a sentence."""
Read = Callable[[bytes, str, Problems], Value]
"""Reads the text of the value at a path. None if it is invalid."""
ReadObject = Callable[[bytes, str, Problems], Values]
"""Reads the text of an object, with a prefix for the paths of its fields."""

NULL = b"null"
MAX_LIST_BYTES = 64 << 10

_split_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


def object_reader(
    descriptor: Descriptor, *, without: frozenset[str] = frozenset(), known: dict[str, ReadObject] | None = None
) -> ReadObject:
    """Reads the fields of a message, except those in `without`. Unknown keys and null values are ignored."""
    known = {} if known is None else known
    if descriptor.full_name in known:
        return known[descriptor.full_name]
    fields: dict[str, Read] = {}

    def read(text: bytes, prefix: str, problems: Problems) -> Values:
        values = {}
        members, repeated = split_object(text)
        for key, raw in members.items():
            field = fields.get(key)
            if field is not None and raw != NULL:
                value = field(raw, prefix + key, problems)
                if value is not None:
                    values[key] = value
        if repeated is not None:
            problems[prefix + repeated[:100]] = "must not be given twice"
        return values

    known[descriptor.full_name] = read
    fields.update({field.name: _field_reader(field, known) for field in descriptor.fields if field.name not in without})
    return read


def is_json(field: FieldDescriptor) -> bool:
    """Whether the field contains a document that is passed on byte for byte, without parsing."""
    return field.message_type is not None and field.message_type.name == "Json"


def _field_reader(field: FieldDescriptor, known: dict[str, ReadObject]) -> Read:
    read = _value_reader(field, known)
    return _list_reader(read, message=scalar(field) is None) if field.is_repeated else read


def _value_reader(field: FieldDescriptor, known: dict[str, ReadObject]) -> Read:
    if is_json(field):
        return lambda raw, path, problems: {"utf8": raw}
    if kind := scalar(field):
        return _scalar_reader(kind.from_json)
    if field.message_type is None or field.message_type.GetOptions().map_entry:
        raise TypeError(f"{field.full_name} is of a type that the gateway does not read")
    return _message_reader(object_reader(field.message_type, known=known))


def _scalar_reader(from_json: Callable[[bytes], Value]) -> Read:
    def read(raw: bytes, path: str, problems: Problems) -> Value:
        try:
            return from_json(raw)
        except WrongValue as wrong:
            problems[path] = str(wrong)
            return None

    return read


def _message_reader(read_object: ReadObject) -> Read:
    def read(raw: bytes, path: str, problems: Problems) -> Values | None:
        try:
            return read_object(raw, path + ".", problems)
        except msgspec.ValidationError:
            problems[path] = "must be an object"
            return None

    return read


def _list_reader(read_value: Read, *, message: bool) -> Read:
    def read(raw: bytes, path: str, problems: Problems) -> list[Value] | None:
        if len(raw) > MAX_LIST_BYTES:
            problems[path] = f"must be at most {MAX_LIST_BYTES >> 10} KiB of JSON"
            return None
        try:
            items = [bytes(item) for item in _split_list(raw)]
        except msgspec.ValidationError:
            problems[path] = "must be a list"
            return None
        except msgspec.DecodeError:
            problems[path] = LONE_SURROGATE
            return None
        if len(items) > MAX_ENTRIES:
            problems[path] = TOO_MANY_ENTRIES
            return None
        values = []
        for index, item in enumerate(items):
            place = f"{path}[{index}]"
            value = None if item == NULL else read_value(item, place, problems)
            if value is not None:
                values.append(value)
            else:
                problems.setdefault(place, "cannot be null")
                if message:
                    values.append({})  # a placeholder, so that later items keep their index
        return values

    return read
