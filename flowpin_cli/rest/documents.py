"""JSON documents that are passed on byte for byte: parsing and printing them again could change numbers and escapes."""

import json
import re
import sys
from pathlib import Path

from flowpin_cli.errors import CannotRun

SPACE = re.compile(r"[ \t\r\n]*")


def members(text: str) -> dict[str, str]:
    """The members of a JSON object, each as its original text. Raises ValueError if it is not an object."""
    decoder = json.JSONDecoder()
    found: dict[str, str] = {}
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        raise ValueError("not an object")
    at = _skip(text, at + 1)
    while text[at : at + 1] != "}":
        name, at = decoder.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)  # past the colon
        begin = at
        _, at = decoder.raw_decode(text, at)
        found[str(name)] = text[begin:at]
        at = _skip(text, at)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
    return found


def _skip(text: str, at: int) -> int:
    match = SPACE.match(text, at)
    return match.end() if match else at


def body(**values: str | None) -> str:
    """A JSON object from members as JSON text. Members that are None are omitted."""
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in values.items() if text is not None) + "}"


def read_text(file: Path) -> str:
    """The file's content; `-` is standard input."""
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CannotRun(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def read_canvas(file: Path, ui: Path | None) -> tuple[str, str | None]:
    """The flow, and its layout if there is one. `file` contains a flow, or an object with `flow` and `flow_ui`."""
    text = read_text(file)
    held = _object(text, file)
    flow, layout = (text, None) if "nodes" in held else (held.get("flow"), held.get("flow_ui"))
    if flow is None:
        raise CannotRun(f"{file} has no flow: it has neither `nodes` nor `flow`")
    return flow, layout if ui is None else read_object(ui)


def read_object(file: Path) -> str:
    """The JSON object in the file, as its original text."""
    text = read_text(file)
    _object(text, file)
    return text


def _object(text: str, file: Path) -> dict[str, str]:
    try:
        json.loads(text)
        return members(text)
    except (ValueError, RecursionError) as error:
        raise CannotRun(f"{file} is not a JSON object: {error}") from None
