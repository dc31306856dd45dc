"""Reads a version's two documents, whatever their content. Unreadable parts are reported and left out."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from service_kit.nesting import is_deeper

MAX_BYTES = 4 << 20
"""Size limit of a document that is drawn. Parsing one takes 30 ms."""
_MAX_LEVELS = 200


class Canvas(msgspec.Struct):
    """The members of `flow_ui` that are drawn. The others, which repeat the flow, are not parsed."""

    nodes: Any = None
    edges: Any = None
    notes: Any = None
    groups: Any = None


def read_flow(flow: bytes, left_out: list[str]) -> Mapping[str, Any]:
    found = _read("flow", flow, dict[str, Any], left_out)
    return found if isinstance(found, dict) else {}


def read_canvas(flow_ui: bytes | None, left_out: list[str]) -> Canvas:
    found = _read("layout", flow_ui, Canvas, left_out) if flow_ui and flow_ui.strip() != b"null" else None
    return found if isinstance(found, Canvas) else Canvas()


def _read(what: str, document: bytes, kind: Any, left_out: list[str]) -> object:
    if len(document) > MAX_BYTES:
        left_out.append(f"The {what} is larger than {MAX_BYTES >> 20} MiB, so it is not drawn.")
        return None
    if is_deeper(document, _MAX_LEVELS):
        left_out.append(f"The {what} is nested more than {_MAX_LEVELS} levels deep, so it is not drawn.")
        return None
    try:
        return msgspec.json.decode(document, type=kind)
    except (ValueError, RecursionError):
        return _read_leniently(what, document, kind, left_out)


def _read_leniently(what: str, document: bytes, kind: Any, left_out: list[str]) -> object:
    """Parse with CPython's codec, which accepts NaN, lone surrogates and longer numbers."""
    try:
        plain = json.dumps(json.loads(document), ensure_ascii=False).encode("utf-8", "replace")
        return msgspec.convert(json.loads(plain), kind)
    except (ValueError, RecursionError):
        left_out.append(f"The {what} is not a JSON object, so it is not drawn.")
        return None
