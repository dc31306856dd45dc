"""Compiles writers of messages as JSON, with snake_case names and zero values, without unset optional fields."""

from collections.abc import Callable
from operator import attrgetter

import msgspec
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway.codec.decode import is_json
from gateway.codec.scalars import TIMESTAMP, Value, enum_names, time

Plain = Callable[[Value], Value]
"""Converts a field's value for msgspec."""


def writer(descriptor: Descriptor) -> Callable[[Message], bytes]:
    plain, encode = _message(descriptor, {}), msgspec.json.Encoder().encode
    return lambda message: encode(plain(message))


def is_passed_on(route_output: Descriptor) -> bool:
    """Whether the message itself contains the HTTP answer."""
    return route_output.full_name == "google.api.HttpBody"


def download_field(descriptor: Descriptor) -> str | None:
    """The field that is the whole answer, with its own content type instead of JSON."""
    types = {field.message_type.full_name: field.name for field in descriptor.fields if field.message_type is not None}
    return types.get("google.api.HttpBody")


def _message(descriptor: Descriptor, known: dict[str, Plain]) -> Plain:
    if descriptor.full_name in known:
        return known[descriptor.full_name]
    fields: list[tuple[str, bool, Plain]] = []

    def plain(message: Value) -> dict[str, Value]:
        return {name: get(message) for name, optional, get in fields if not optional or message.HasField(name)}

    known[descriptor.full_name] = plain
    fields.extend((field.name, field.has_presence, _getter(field, known)) for field in descriptor.fields)
    return plain


def _getter(field: FieldDescriptor, known: dict[str, Plain]) -> Plain:
    get, plain = attrgetter(field.name), _value(field, known)
    if field.is_repeated:
        return lambda message: [plain(item) for item in get(message)] if plain else list(get(message))
    return (lambda message: plain(get(message))) if plain else get


def _value(field: FieldDescriptor, known: dict[str, Plain]) -> Plain | None:
    """None for values that need no conversion."""
    if field.enum_type is not None:
        return _enum(field.enum_type)
    if field.message_type is None:
        return None
    if is_json(field):
        return _document
    if field.message_type.full_name == TIMESTAMP:
        return lambda moment: time(moment.seconds, moment.nanos)
    if field.message_type.GetOptions().map_entry:
        raise TypeError(f"{field.full_name} is of a type that the gateway does not write")
    return _message(field.message_type, known)


def _document(json: Value) -> msgspec.Raw:
    return msgspec.Raw(json.utf8 or b"null")


def _enum(enum: EnumDescriptor) -> Plain:
    names: dict[int, str | int] = {number: name for name, number in enum_names(enum).items()}
    # A newer service may have more names than this gateway.
    return lambda number: names.get(number, number)
