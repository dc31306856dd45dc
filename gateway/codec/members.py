"""Splits the text of a JSON object into its members without parsing their values."""

import re

import msgspec

from service_kit.errors import InvalidArgument

MAX_MEMBERS = 1000
"""Maximum members of an object. Messages have far fewer; more would only take time."""

KEY = re.compile(rb'[ \t\r\n]*[{,][ \t\r\n]*("[^"\\]*(?:\\.[^"\\]*)*")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
END = re.compile(rb"[ \t\r\n]*\}")
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")

Raws = dict[str, msgspec.Raw]

_split = msgspec.json.Decoder(Raws).decode
_string = msgspec.json.Decoder(str).decode


def split_object(text: bytes) -> tuple[dict[str, bytes], str | None]:
    """The values of the members as they are in `text`, and a duplicate key, if any.

    Raises msgspec.ValidationError if `text` is not a JSON object, msgspec.DecodeError if it is not JSON, and
    InvalidArgument if it has too many members.
    """
    shape, found = _shape(text)
    if len(found) > MAX_MEMBERS:
        raise InvalidArgument(f"An object in the body has more than {MAX_MEMBERS} keys.")
    # For a duplicate key, a dict keeps the position of the first value and the content of the last. So the text is
    # compared with the dict in order: at a duplicate, the next key or value differs.
    members: dict[str, bytes] = {}
    last, end = None, 0
    for key, raw in found.items():
        value = bytes(raw)
        at = KEY.match(shape, end)
        if at is None:
            return _as_found(found), last
        if _string(at[1]) != key or not shape.startswith(value, at.end()):
            return _as_found(found), _string(at[1])
        last, end = key, at.end() + len(value)
        members[key] = value if shape is text else text[at.end() : end]
    if members and not END.match(shape, end):
        at = KEY.match(shape, end)
        return members, last if at is None else _string(at[1])
    return members, None


def _shape(text: bytes) -> tuple[bytes, Raws]:
    """The members, and `text` or a copy of it that has every member at the same place."""
    try:
        return text, _split(text)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # msgspec refuses lone surrogates everywhere. Here, each field decides whether it accepts them.
        shape = SURROGATE.sub(rb"\\u0030", text)
        if shape == text:
            raise
        return shape, _split(shape)


def _as_found(found: Raws) -> dict[str, bytes]:
    return {key: bytes(raw) for key, raw in found.items()}
