"""A flow and its canvas layout as they come in: JSON that is checked and fingerprinted, and kept byte for byte."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from workflow_service.canonical import Outline, read_in_pieces, read_plain
from workflow_service.errors import FlowTooLarge, InvalidFlow

MAX_DEPTH = 200
LARGE = 256 << 10
"""What takes more than a few milliseconds to check, in bytes."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a version holds. `flow` and `flow_ui` are the bytes as sent, the digests 32 bytes each."""

    flow: bytes
    flow_ui: bytes
    digest: bytes
    canvas_digest: bytes

    @property
    def is_large(self) -> bool:
        return len(self.flow) + len(self.flow_ui) >= LARGE


def check_content(flow: bytes, flow_ui: bytes, limit: int) -> Content:
    """The light check of create, save and release. Raises FlowTooLarge, or InvalidFlow naming each problem."""
    problems: dict[str, str] = {}
    value, digest = _read("flow", flow, limit, problems, _outline)
    _read("flow_ui", flow_ui, limit, problems, _outline)
    if value is not None:
        problems.update(_light_problems(value))
    if problems:
        raise InvalidFlow(problems)
    canvas = hashlib.sha256(flow)
    canvas.update(b"\0")
    canvas.update(flow_ui)
    return Content(flow, flow_ui, digest, canvas.digest())


def parse_flow(flow: bytes, limit: int) -> dict[str, Any]:
    """A flow to export; an empty list of nodes will do. Raises FlowTooLarge or InvalidFlow."""
    problems: dict[str, str] = {}
    value, _ = _read("flow", flow, limit, problems)
    if value is not None:
        problems.update(_light_problems(value, allow_empty=True))
    if value is None or problems:
        raise InvalidFlow(problems)
    return value


def _read(
    field: str, utf8: bytes, limit: int, problems: dict[str, str], outline: Outline | None = None
) -> tuple[dict[str, Any] | None, bytes]:
    """The parsed object and the digest of its canonical bytes; or None, and what is wrong in `problems`.

    Of a large one, and with an `outline`, only what that makes of its pieces.
    """
    if len(utf8) > limit:
        raise FlowTooLarge(field, limit)
    if outline is not None and len(utf8) >= LARGE:
        in_pieces = read_in_pieces(utf8, outline, exactly=field == "flow")
        if in_pieces is not None:
            return in_pieces
    elif (plain := read_plain(utf8, exactly=field == "flow")) is not None:
        value, encoded = plain
        if isinstance(value, dict) and not _is_deep(utf8, value):
            return value, hashlib.sha256(encoded).digest()
    try:
        value = json.loads(utf8.decode("utf-8"), object_pairs_hook=_refuse_repeated, parse_constant=_refuse_constant)
        canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        encoded = canonical.encode("utf-8")
    except RecursionError:
        problems[field] = f"is nested deeper than {MAX_DEPTH} levels"
    except _RepeatedKeyError:
        problems.update(_repeated_keys(field, utf8))
    except UnicodeEncodeError:
        problems.update(_find(field, value, _is_lone_surrogate, "holds half of a surrogate pair"))
    except UnicodeDecodeError as error:
        problems[field] = f"is not UTF-8 at byte {error.start}"
    except json.JSONDecodeError as error:
        problems[field] = f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    except ValueError:
        # allow_nan=False, parse_constant, or an integer of more digits than CPython converts.
        found = _find(field, _lenient(utf8), _is_out_of_range, "is a number out of range")
        problems.update(found or {field: "holds a number out of range"})
    else:
        if not isinstance(value, dict):
            problems[field] = "must be an object"
        elif _is_deep(utf8, value):
            problems[field] = f"is nested deeper than {MAX_DEPTH} levels"
        else:
            return value, hashlib.sha256(encoded).digest()
    return None, b""


class _RepeatedKeyError(Exception):
    pass


class _Pairs(list[tuple[str, Any]]):
    """An object with its repeated keys still in it."""


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RepeatedKeyError
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _lenient(utf8: bytes) -> Any:
    """The document with each number that is out of range as an infinity; None when it has yet other problems."""
    try:
        return json.loads(utf8.decode("utf-8"), parse_int=_int_or_infinity)
    except (ValueError, RecursionError):
        return None


def _int_or_infinity(digits: str) -> float:
    try:
        return int(digits)
    except ValueError:
        return math.inf


def _repeated_keys(field: str, utf8: bytes) -> dict[str, str]:
    problems: dict[str, str] = {}
    try:
        document = json.loads(utf8.decode("utf-8"), object_pairs_hook=_Pairs, parse_int=str)
    except (ValueError, RecursionError):
        # Something is wrong further on, too.
        return {field: "has an object with a key more than once"}
    for path, value in _walk(field, document):
        if isinstance(value, _Pairs):
            count = Counter(key for key, _ in value)
            problems |= {f"{path}.{_shown(key)}": "stands there more than once" for key in count if count[key] > 1}
    return problems


def _find(field: str, value: Any, is_wrong: Callable[[Any], bool], sentence: str) -> dict[str, str]:
    return {path: sentence for path, found in _walk(field, value) if is_wrong(found)}


def _is_lone_surrogate(value: Any) -> bool:
    texts = [value] if isinstance(value, str) else list(value) if isinstance(value, dict) else []
    return any("\ud800" <= character <= "\udfff" for text in texts for character in text)


def _is_out_of_range(value: Any) -> bool:
    return isinstance(value, float) and (value != value or value in (float("inf"), float("-inf")))


def _walk(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every value with its path, without recursion."""
    left = [(path, value)]
    while left:
        path, value = left.pop()
        yield path, value
        if isinstance(value, dict | _Pairs):
            pairs = value.items() if isinstance(value, dict) else value
            left += [(f"{path}.{_shown(key)}", child) for key, child in pairs]
        elif isinstance(value, list):
            left += [(f"{path}[{index}]", child) for index, child in enumerate(value)]


def _shown(key: str) -> str:
    # Half a surrogate pair fits into no message.
    return key.encode("utf-8", "backslashreplace").decode("utf-8")


def _outline(value: Any, utf8: bytes) -> Any:
    """What the light check looks at."""
    if _is_deep(utf8, [value], MAX_DEPTH - 2):
        raise ValueError("is, or may be, nested too deep")
    return {key: value[key] for key in ("id", "type") if key in value} if type(value) is dict else value


def _is_deep(utf8: bytes, value: Any, limit: int = MAX_DEPTH) -> bool:
    # Most documents have not even as many brackets.
    return utf8.count(b"{") + utf8.count(b"[") >= limit and _depth(value) > limit


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            child
            for container in level
            for child in (container.values() if type(container) is dict else container)
            if type(child) is dict or type(child) is list
        ]
    return depth


def _light_problems(flow: dict[str, Any], *, allow_empty: bool = False) -> dict[str, str]:
    """Problems of an otherwise sound document: `nodes`, and the `id` and `type` of each."""
    nodes = flow.get("nodes")
    if not isinstance(nodes, list):
        return {"flow.nodes": "must be a list"}
    if not nodes and not allow_empty:
        return {"flow.nodes": "cannot be empty"}
    problems = {}
    seen: set[str] = set()
    for index, node in enumerate(nodes):
        if not isinstance(node, dict):
            problems[f"flow.nodes[{index}]"] = "must be an object"
            continue
        node_id, node_type = node.get("id"), node.get("type")
        if not isinstance(node_id, str) or not node_id:
            problems[f"flow.nodes[{index}].id"] = "must be a string that is not empty"
        elif node_id in seen:
            problems[f"flow.nodes[{index}].id"] = f"{node_id!r} is the id of an earlier node too"
        else:
            seen.add(node_id)
        if not isinstance(node_type, str) or "." not in node_type or not all(node_type.split(".")):
            problems[f"flow.nodes[{index}].type"] = "must be a dotted name, such as dynamiq.nodes.utils.Input"
    return problems
