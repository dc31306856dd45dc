"""Checks incoming flows and canvas layouts and computes their digests. The JSON is stored byte for byte."""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from service_kit.documents import LARGE_DOCUMENT_BYTES
from service_kit.nesting import is_deeper
from service_kit.paths import Path, shown_key
from service_kit.problems import Problems
from workflow_service.canonical import Outline, read_in_pieces, read_plain
from workflow_service.errors import FlowTooLarge, InvalidFlow

MAX_DEPTH = 200
MAX_DIGITS = 4300
"""Maximum digits of an integer. CPython has the same limit, but `PYTHONINTMAXSTRDIGITS` can change it. msgspec (0.22)
has it too."""
MIN_PIECE_BYTES = 16
"""Minimum average distance of commas in a document that is read in pieces. Documents of tiny pieces are read at once:
eight million numbers then take a tenth of the memory."""
DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
"""The dotted name of a class, as Python imports it."""
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a version. `flow` and `flow_ui` are the bytes as sent. Each digest has 32 bytes."""

    flow: bytes
    flow_ui: bytes
    digest: bytes
    canvas_digest: bytes

    @property
    def is_large(self) -> bool:
        return len(self.flow) + len(self.flow_ui) >= LARGE_DOCUMENT_BYTES


def check_content(flow: bytes, flow_ui: bytes, limit: int) -> Content:
    """Run the light check of create, save and release. Raises FlowTooLarge, or InvalidFlow naming each problem."""
    return Content(flow, flow_ui, *digests_of(flow, flow_ui, limit))


def digests_of(flow: bytes, flow_ui: bytes, limit: int) -> tuple[bytes, bytes]:
    """The digest and the canvas digest of a document that passes the light check. Raises the errors of
    `check_content`."""
    problems = Problems()
    value, digest = _read("flow", flow, limit, problems, _outline)
    if value is not None:
        _check_nodes(value, problems)
    del value
    _read("flow_ui", flow_ui, limit, problems, _outline)
    if problems:
        raise InvalidFlow(problems)
    return digest, canvas_digest_of(flow, flow_ui)


def canvas_digest_of(flow: bytes, flow_ui: bytes) -> bytes:
    """Digest of the exact bytes of flow and flow_ui."""
    canvas = hashlib.sha256(flow)
    canvas.update(b"\0")
    canvas.update(flow_ui)
    return canvas.digest()


def parse_flow(flow: bytes, limit: int) -> dict[str, Any]:
    """Parse a flow to export. Its list of nodes may be empty. Raises FlowTooLarge or InvalidFlow."""
    problems = Problems()
    value, _ = _read("flow", flow, limit, problems)
    if value is not None:
        _check_nodes(value, problems, allow_empty=True)
    if value is None or problems:
        raise InvalidFlow(problems)
    return value


def _read(
    field: str, utf8: bytes, limit: int, problems: Problems, outline: Outline | None = None
) -> tuple[dict[str, Any] | None, bytes]:
    """The parsed object and the digest of its canonical bytes. If it is invalid, None, and `problems` says why.

    With an `outline`, a large document is read in pieces, and the object contains only their outlines. Documents of
    tiny pieces are read whole.
    """
    if len(utf8) > limit:
        raise FlowTooLarge(field, limit)
    has_pieces = len(utf8) >= LARGE_DOCUMENT_BYTES and utf8.count(b",") * MIN_PIECE_BYTES <= len(utf8)
    piece_outline = outline if has_pieces else None
    if piece_outline is not None:
        in_pieces = read_in_pieces(utf8, piece_outline, exactly=field == "flow")
        if in_pieces is not None:
            return in_pieces
    if is_deeper(utf8, MAX_DEPTH):
        problems.add(field, f"is nested deeper than {MAX_DEPTH} levels")
        return None, b""
    if piece_outline is None and (plain := read_plain(utf8, exactly=field == "flow")) is not None:
        value, encoded = plain
        if isinstance(value, dict):
            return value, hashlib.sha256(encoded).digest()
    try:
        value = json.loads(
            utf8.decode("utf-8"),
            object_pairs_hook=_refuse_repeated,
            parse_constant=_refuse_constant,
            parse_int=_integer,
        )
        canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        encoded = canonical.encode("utf-8")
    except _RepeatedKeyError:
        _find_repeated_keys(field, utf8, problems)
    except UnicodeEncodeError:
        _find(field, value, _is_lone_surrogate, "must not contain half of a surrogate pair", problems)
    except UnicodeDecodeError as error:
        problems.add(field, f"is not UTF-8 at byte {error.start}")
    except json.JSONDecodeError as error:
        problems.add(field, f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    except ValueError:
        # Raised because of allow_nan=False, or by parse_constant or parse_int.
        if not _find(field, _lenient(utf8), _is_out_of_range, "is a number out of range", problems):
            problems.add(field, "holds a number out of range")
    else:
        if not isinstance(value, dict):
            problems.add(field, "must be an object")
        else:
            return value, hashlib.sha256(encoded).digest()
    return None, b""


class _RepeatedKeyError(Exception):
    pass


class _Pairs(list[tuple[str, Any]]):
    """An object that keeps its repeated keys."""


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RepeatedKeyError
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _integer(digits: str) -> int:
    if len(digits.removeprefix("-")) > MAX_DIGITS:
        raise ValueError(f"an integer of more than {MAX_DIGITS} digits")
    return int(digits)


def _lenient(utf8: bytes) -> Any:
    """The document, with infinity for each number that is out of range. None if it has other problems as well."""
    try:
        return json.loads(utf8.decode("utf-8"), parse_int=_int_or_infinity)
    except ValueError:
        return None


def _int_or_infinity(digits: str) -> float:
    try:
        return _integer(digits)
    except ValueError:
        return math.inf


def _find_repeated_keys(field: str, utf8: bytes, problems: Problems) -> None:
    try:
        document = json.loads(utf8.decode("utf-8"), object_pairs_hook=_Pairs, parse_int=str)
    except ValueError:
        # The document has another error further on.
        problems.add(field, "has an object with a key more than once")
        return
    for path, value in _walk(field, document):
        if isinstance(value, _Pairs):
            count = Counter(key for key, _ in value)
            if len(count) < len(value):
                for key in (key for key in count if count[key] > 1):
                    problems.add((path, key), "must not be duplicated")


def _find(field: str, value: Any, is_wrong: Callable[[Any], bool], sentence: str, problems: Problems) -> bool:
    """Add each value that `is_wrong` to `problems`. Returns whether there is one."""
    is_found = False
    for path, found in _walk(field, value):
        if is_wrong(found):
            problems.add(path, sentence)
            is_found = True
    return is_found


def _is_lone_surrogate(value: Any) -> bool:
    texts = [value] if isinstance(value, str) else list(value) if isinstance(value, dict) else []
    return any(_SURROGATE.search(text) for text in texts)


def _is_out_of_range(value: Any) -> bool:
    return isinstance(value, float) and (value != value or value in (float("inf"), float("-inf")))


def _walk(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    """Every value with its path, in the order of the document, without recursion."""
    levels = [iter([(path, value)])]
    while levels:
        for path, value in levels[-1]:
            yield path, value
            if children := _children(path, value):
                levels.append(children)
                break
        else:
            levels.pop()


def _children(path: Path, value: Any) -> Iterator[tuple[Path, Any]] | None:
    if isinstance(value, _Pairs):
        return (((path, key), child) for key, child in value)
    if isinstance(value, dict):
        return (((path, key), child) for key, child in value.items())
    if isinstance(value, list):
        return (((path, index), child) for index, child in enumerate(value))
    return None


def _outline(value: Any, utf8: bytes) -> Any:
    """The parts of a piece that the light check needs. Raises ValueError if the piece may be nested too deeply."""
    if is_deeper(utf8, MAX_DEPTH - 2):
        raise ValueError
    return {key: value[key] for key in ("id", "type") if key in value} if type(value) is dict else None


def _check_nodes(flow: dict[str, Any], problems: Problems, *, allow_empty: bool = False) -> None:
    """Add the problems of a parsed document: of `nodes`, and of the `id` and `type` of each node."""
    nodes = flow.get("nodes")
    if not isinstance(nodes, list):
        problems.add("flow.nodes", "must be a list")
        return
    if not nodes and not allow_empty:
        problems.add("flow.nodes", "cannot be empty")
    seen: set[str] = set()
    for index, node in enumerate(nodes):
        path = ("flow.nodes", index)
        if not isinstance(node, dict):
            problems.add(path, "must be an object")
            continue
        node_id, node_type = node.get("id"), node.get("type")
        if not isinstance(node_id, str) or not node_id:
            problems.add((path, "id"), "must be a string that is not empty")
        elif node_id in seen:
            problems.add((path, "id"), f"{shown_key(node_id)!r} is the id of an earlier node too")
        else:
            seen.add(node_id)
        if not isinstance(node_type, str) or not DOTTED_NAME.fullmatch(node_type):
            problems.add((path, "type"), "must be a dotted name, such as dynamiq.nodes.utils.Input")
