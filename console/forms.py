"""Reads submitted forms."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import web

from service_kit.errors import InvalidArgument
from service_kit.http.forms import FORM_TYPE, media_type, parts_of
from service_kit.idempotency import KEY
from service_kit.ids import new_id

URLENCODED = "application/x-www-form-urlencoded"
MAX_FIELDS = 200


class FormNotRead(InvalidArgument):
    reason = "FORM_INVALID"


@dataclass(frozen=True, slots=True)
class Form:
    """Fields and files by name. For a repeated name, the last one."""

    fields: Mapping[str, str]
    files: Mapping[str, bytes]

    def text(self, name: str) -> str:
        """The text of a field. Empty when it was not sent."""
        return self.fields.get(name, "").strip()

    def document(self, name: str) -> str:
        """The content of a text area, or of the file chosen instead. Raises FormNotRead."""
        uploaded = self.files.get(f"{name}_file", b"")
        if uploaded:
            try:
                return uploaded.decode("utf-8-sig")
            except UnicodeDecodeError:
                raise FormNotRead("The file must be UTF-8 text.", fields={name: "must be UTF-8 text"}) from None
        return self.fields.get(name, "")

    @property
    def key(self) -> str:
        """The idempotency key. A form sent twice has its effect once."""
        key = self.text("key")
        return key if KEY.fullmatch(key) else str(new_id())


def form_of(request: web.Request, body: bytes) -> Form:
    """Read the form of a request. Raises FormNotRead or FormMalformed."""
    content_type = request.headers.get("Content-Type", "")
    kind = media_type(content_type)
    if kind == FORM_TYPE:
        fields, files = {}, {}
        for part in parts_of(content_type, body):
            if part.file_name is None:
                fields[part.name] = _text(part.data)
            else:
                files[part.name] = part.data
        return Form(fields, files)
    if kind != URLENCODED and body:
        raise FormNotRead("A form was expected.")
    try:
        pairs = parse_qsl(_text(body), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise FormNotRead("The form has too many fields.") from None
    return Form(dict(pairs), {})


def _text(data: bytes) -> str:
    # Browsers send text areas with \r\n.
    return data.decode("utf-8", "replace").replace("\r\n", "\n")
