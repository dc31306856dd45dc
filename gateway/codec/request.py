"""Compiles, per route, the reader of a whole request."""

from codecs import BOM_UTF8, utf_8_decode
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from multidict import MultiMapping

from gateway.codec.decode import Problems, object_reader
from gateway.codec.form import files_field, form_reader
from gateway.codec.query import path_reader, query_reader
from service_kit.errors import InvalidArgument, InvalidFields
from service_kit.http import forms
from service_kit.http.forms import FORM_TYPE
from service_kit.nesting import is_deeper
from service_kit.validation import violations

Variables = Mapping[str, str]

MALFORMED = "JSON is malformed: "
PIECE = 64 << 10
MAX_LEVELS = 500
"""Maximum nesting of lists and objects in a body. A flow may have 200 levels, which the service checks. msgspec on
Python 3.11 cannot split a body with 1,000."""


class ReadBody(Protocol):
    def __call__(self, path: Variables, body: bytes, content_type: str = "") -> Message: ...


def from_body(descriptor: Descriptor, variables: tuple[str, ...]) -> ReadBody:
    """Reads the variables of a path and a body: JSON, or a form if the message has files. Path variables override the
    body.

    Raises InvalidArgument, InvalidFields or MessageTooLarge.
    """
    kind = GetMessageClass(descriptor)
    read_path = path_reader(descriptor, variables)
    files = files_field(descriptor)
    read_object = object_reader(descriptor, without=frozenset(variables) | ({files} if files else frozenset()))
    read_form = form_reader(descriptor, without=frozenset(variables)) if files else None

    def read(path: Variables, body: bytes, content_type: str = "") -> Message:
        problems: Problems = {}
        values = {}
        if read_form is not None and forms.media_type(content_type) == FORM_TYPE:
            values = read_form(content_type, body, problems)
        elif body:
            _check_utf8(body)  # msgspec does not check the values that it splits off
            if is_deeper(body, MAX_LEVELS):
                raise InvalidArgument("The body is nested too deeply.")
            try:
                values = read_object(body, "", problems)
            except msgspec.ValidationError:
                raise InvalidArgument("The body must be a JSON object.") from None
            except msgspec.DecodeError as error:
                if body.startswith(BOM_UTF8):
                    raise InvalidArgument("The body is not JSON: it begins with a byte order mark.") from None
                raise InvalidArgument(f"The body is not JSON: {str(error).removeprefix(MALFORMED)}.") from None
        values.update(read_path(path, problems))
        message = kind(**values)
        if problems:
            raise InvalidFields(_and_missing(problems, message))
        return message

    return read


def from_query(descriptor: Descriptor, variables: tuple[str, ...]) -> Callable[[Variables, MultiMapping[str]], Message]:
    """Reads the variables of a path and a query string. Path variables override the query. Raises InvalidFields."""
    kind = GetMessageClass(descriptor)
    read_path = path_reader(descriptor, variables)
    read_query = query_reader(descriptor, without=frozenset(variables))

    def read(path: Variables, query: MultiMapping[str]) -> Message:
        problems: Problems = {}
        values = read_query(query, problems)
        values.update(read_path(path, problems))
        message = kind(**values)
        if problems:
            raise InvalidFields(_and_missing(problems, message))
        return message

    return read


def _check_utf8(body: bytes) -> None:
    """Checks in pieces, because decoding 5 MB at once takes four times as long, mostly to allocate memory."""
    view, at = memoryview(body), 0
    while at < len(body):
        piece = view[at : at + PIECE]
        try:
            at += utf_8_decode(piece, "strict", at + len(piece) == len(body))[1]
        except UnicodeDecodeError as error:
            raise InvalidArgument(f"The body is not UTF-8 (byte {at + error.start}).") from None


def _and_missing(problems: Problems, message: Message) -> Problems:
    """`problems`, and violations of the contract for other fields, so that one answer names each invalid field once."""
    named = tuple(problems)
    within = tuple(path + mark for path in named for mark in (".", "["))
    more = {
        path: sentence
        for path, sentence in violations(message).items()
        if path not in problems and not path.startswith(within)
    }
    return problems | more
