"""Reads the body of a call: JSON, or a form as browsers send it."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from run_service.errors import BodyMalformed, MediaTypeUnsupported, NotImplementedYet
from service_kit.errors import InvalidFields
from service_kit.http import forms
from service_kit.http.forms import FORM_TYPE
from service_kit.nesting import is_deeper

MAX_LEVELS = 200
JSON_TYPES = ("application/json", "application/octet-stream", "application/x-www-form-urlencoded", "")
"""Content types that are read as JSON. `curl -d` sends FORM_TYPE by default."""
BESIDE_INPUT = ("user_id", "session_id", "chat_history")
"""Fields next to `input` that are added to the input, unless it has them."""

FLAGS = ("stream", "last_node_output")
JSON_IN_FORMS = ("input", "chat_history", "callbacks", *FLAGS)

NO_FILES = "Files are not implemented yet. Omit `files`."

Fields = Mapping[str, msgspec.Raw]

_read_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class Call:
    input: bytes
    """A JSON object."""
    is_stream: bool


def read_call(content_type: str, body: bytes) -> Call:
    """Raises MediaTypeUnsupported, BodyMalformed, InvalidFields or NotImplementedYet."""
    media_type = media_type_of(content_type)
    fields = _form_fields(content_type, body) if media_type == FORM_TYPE else _json_fields(body)
    return call_from(fields)


def media_type_of(content_type: str) -> str:
    """Raises MediaTypeUnsupported."""
    media_type = forms.media_type(content_type)
    if media_type not in (*JSON_TYPES, FORM_TYPE):
        raise MediaTypeUnsupported
    return media_type


def call_from(fields: Fields) -> Call:
    """A call from fields that are JSON. Raises InvalidFields or NotImplementedYet."""
    wrong: dict[str, str] = {}
    mode = _text(fields, "execution_mode", wrong)
    if mode not in (None, "sync", "async"):
        wrong["execution_mode"] = "must be sync"
    is_stream = _flag(fields, "stream", wrong)
    _flag(fields, "last_node_output", wrong)
    for name in ("user_id", "session_id"):
        _text(fields, name, wrong)
    callbacks = bytes(fields.get("callbacks", b"null")).strip()
    if callbacks != b"null" and not callbacks.startswith(b"["):
        wrong["callbacks"] = "must be a list"
    given = bytes(fields.get("input", b"")).strip()
    if not given:
        wrong["input"] = "is required"
    elif not given.startswith(b"{"):
        wrong["input"] = "must be an object"
    if wrong:
        raise InvalidFields(wrong)
    if mode == "async":
        raise NotImplementedYet(
            "Asynchronous calls are not implemented yet. Omit `execution_mode` and wait for the answer."
        )
    if callbacks not in (b"null", b"[]"):
        raise NotImplementedYet("Callbacks are not implemented yet. Omit `callbacks` and wait for the answer.")
    return Call(_with_fields_beside(given, fields), is_stream)


def _with_fields_beside(given: bytes, fields: Fields) -> bytes:
    beside = {name: fields[name] for name in BESIDE_INPUT if bytes(fields.get(name, b"null")).strip() != b"null"}
    return msgspec.json.encode(beside | _read_object(given)) if beside else given


def _json_fields(body: bytes) -> Fields:
    try:
        body.decode()  # msgspec does not check the values that it skips
        if is_deeper(body, MAX_LEVELS):
            raise BodyMalformed(f"The body is nested deeper than {MAX_LEVELS} levels.")
        if not body.strip():
            return {}
        return _read_object(body)
    except UnicodeDecodeError:
        raise BodyMalformed("The body must be UTF-8.") from None
    except msgspec.ValidationError:
        raise BodyMalformed("The body must be a JSON object.") from None
    except msgspec.DecodeError as error:
        raise BodyMalformed(f"The body is not JSON: {error}.") from None


def _text(fields: Fields, name: str, wrong: dict[str, str]) -> str | None:
    try:
        value: str | None = msgspec.json.decode(fields.get(name, b"null"), type=str | None)
    except msgspec.DecodeError:
        wrong[name] = "must be a string"
        return None
    return value


def _flag(fields: Fields, name: str, wrong: dict[str, str]) -> bool:
    try:
        return bool(msgspec.json.decode(fields.get(name, b"null"), type=bool | None))
    except msgspec.DecodeError:
        wrong[name] = "must be true or false"
        return False


def _form_fields(content_type: str, body: bytes) -> Fields:
    """A form's fields as JSON: those of JSON_IN_FORMS unchanged, others as strings."""
    fields: dict[str, msgspec.Raw] = {}
    for part in forms.parts_of(content_type, body):
        if part.file_name is not None or part.name == "files":
            raise NotImplementedYet(NO_FILES)
        fields[part.name] = _form_value(part.name, part.data)
    return fields


def _form_value(name: str, text: bytes) -> msgspec.Raw:
    if name in JSON_IN_FORMS:
        return json_field(name, text.lower() if name in FLAGS else text)
    return plain_field(text.decode("utf-8", "replace"))


def json_field(name: str, text: bytes) -> msgspec.Raw:
    """Raises InvalidFields."""
    try:
        text.decode()
        if not is_deeper(text, MAX_LEVELS):
            return msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    raise InvalidFields({name: f"must be JSON text, at most {MAX_LEVELS} levels deep"})


def plain_field(value: str | bool) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
