"""Splits a body of multipart/form-data into its parts (RFC 7578)."""

from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser

from service_kit.errors import InvalidArgument

FORM_TYPE = "multipart/form-data"
MAX_PARTS = 100
MAX_HEAD_BYTES = 4 << 10

_parse_head = HeaderParser().parsestr


class FormMalformed(InvalidArgument):
    """The body is not a form as in its Content-Type."""


@dataclass(frozen=True, slots=True)
class Part:
    """A field or a file of a form."""

    name: str
    file_name: str | None
    """None for a field."""
    content_type: str
    data: bytes


def media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def parts_of(content_type: str, body: bytes) -> Iterator[Part]:
    """The parts in their order. Raises FormMalformed."""
    head = Message()
    head["Content-Type"] = content_type
    boundary = head.get_boundary("")
    if not boundary or not boundary.isascii() or len(boundary) > 200:
        raise FormMalformed("Content-Type must name the form's boundary.")
    sections = (b"\r\n" + body).split(b"\r\n--" + boundary.encode(), MAX_PARTS + 2)
    if len(sections) > MAX_PARTS + 2:
        raise FormMalformed(f"The form has more than {MAX_PARTS} parts.")
    for section in sections[1:]:
        if section.startswith(b"--"):
            return
        yield _part(section)
    raise FormMalformed("The form does not parse: its last boundary is missing.")


def _part(section: bytes) -> Part:
    """Parse one part. `section` starts with the rest of the boundary's line."""
    padding, line_end, section = section.partition(b"\r\n")
    head, blank_line, data = section.partition(b"\r\n\r\n")
    if padding.strip() or not line_end or not blank_line or len(head) > MAX_HEAD_BYTES:
        raise FormMalformed("The form does not parse: a part has no head.")
    fields = _parse_head(head.decode("utf-8", "replace"))  # browsers escape names this way
    name = fields.get_param("name", header="content-disposition")
    if fields.get_content_disposition() != "form-data" or not isinstance(name, str) or not name:
        raise FormMalformed("Each part of the form must have a name.")
    return Part(name, fields.get_filename(), fields.get("Content-Type", ""), data)
