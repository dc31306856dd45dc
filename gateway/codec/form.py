"""Compiles readers of multipart forms, which have a part for each field, and files."""

from collections.abc import Callable

import msgspec
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.codec.decode import NULL, Problems, Values, is_json
from gateway.codec.scalars import Value, WrongValue, scalar
from service_kit.errors import MessageTooLarge
from service_kit.http import forms
from service_kit.nesting import is_deeper

MAX_FORM_BYTES = 32 << 20
"""Maximum bytes of a form, including its files."""
MAX_LEVELS = 500

ReadForm = Callable[[str, bytes, Problems], Values]
"""Reads a body with its Content-Type. Raises FormMalformed or MessageTooLarge."""


def files_field(descriptor: Descriptor) -> str | None:
    """The field for the files of a form. Only messages that have such a field are read from forms."""
    for field in descriptor.fields:
        if field.is_repeated and field.message_type is not None and field.message_type.name == "File":
            return field.name
    return None


def form_reader(descriptor: Descriptor, *, without: frozenset[str] = frozenset()) -> ReadForm:
    """Parts without a field of that name are ignored, like unknown keys of JSON."""
    files = files_field(descriptor)
    fields = {field.name: _text_reader(field) for field in descriptor.fields if _is_text(field, without)}

    def read(content_type: str, body: bytes, problems: Problems) -> Values:
        if len(body) > MAX_FORM_BYTES:
            raise MessageTooLarge(f"A form may have {MAX_FORM_BYTES >> 20} MiB in all.")
        values: Values = {}
        for part in forms.parts_of(content_type, body):
            if part.name == files:
                if part.file_name != "" or part.data:  # browsers send this for a file field without a file
                    file = {"name": part.file_name or "", "content_type": part.content_type, "data": part.data}
                    values.setdefault(files, []).append(file)
                continue
            read_text = fields.get(part.name)
            if read_text is None:
                continue
            if part.name in values:
                problems[part.name] = "must not be given twice"
            try:
                value = read_text(part.data)
            except WrongValue as wrong:
                problems[part.name] = str(wrong)
                continue
            if value is not None:
                values[part.name] = value
        return values

    return read


def _is_text(field: FieldDescriptor, without: frozenset[str]) -> bool:
    return not field.is_repeated and field.name not in without and (is_json(field) or scalar(field) is not None)


def _text_reader(field: FieldDescriptor) -> Callable[[bytes], Value]:
    if is_json(field):
        return _document
    kind = scalar(field)
    if kind is None:
        raise TypeError(f"{field.full_name} is of a type that the gateway does not read from forms")
    from_text = kind.from_text

    def read(text: bytes) -> Value:
        try:
            return from_text(text.decode())
        except UnicodeDecodeError:
            raise WrongValue("must be UTF-8") from None

    return read


def _document(text: bytes) -> Value:
    """None for null, which is the same as a missing part."""
    try:
        text.decode()
        if is_deeper(text, MAX_LEVELS):
            raise WrongValue("is nested too deeply")
        document = msgspec.json.decode(text, type=msgspec.Raw)
    except (UnicodeDecodeError, msgspec.DecodeError):
        raise WrongValue("must be JSON text") from None
    return None if document == NULL else {"utf8": bytes(document)}
