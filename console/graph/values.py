"""Lists the different values of two flows, node by node, with their paths."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from console.graph.lines import Line, LineBudget, common_start, lines_between
from console.graph.marks import same, without_edges
from console.graph.model import Graph, Node
from console.graph.shown_values import HIDDEN, MAX_CHARS, shown
from service_kit.paths import Path
from service_kit.paths import shown as shown_path

MAX_ROWS = 500
MAX_VALUES = 100_000
"""Limit of compared values. Comparing so many takes 100 ms."""
MAX_SHOWN_CHARS = 1 << 20
"""Limit for all values together."""
_MISSING = object()
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class ValueChange:
    """A different value. None marks a missing value."""

    node: Node | None
    """None for a value of the flow itself."""
    path: str
    before: str | None
    after: str | None
    lines: tuple[Line, ...]
    """The different lines of a text with several lines. Empty for other values."""
    is_cut: bool
    """Whether the values were cut before the comparison."""

    @property
    def pieces(self) -> tuple[str, str, str, str]:
        """The common beginning, the older and the newer middle, and the common end."""
        one, other = self.before or "", self.after or ""
        head = common_start(one, other)
        tail = common_start(one[head:][::-1], other[head:][::-1])
        if head + tail < min(len(one), len(other)) / 2:  # two separate values, not an edited one
            return "", one, other, ""
        return one[:head], one[head : len(one) - tail], other[head : len(other) - tail], one[len(one) - tail :]

    @property
    def word(self) -> str:
        return "added" if self.before is None else "removed" if self.after is None else "changed"


@dataclass(frozen=True, slots=True)
class Changes:
    """The differences. `left_out` has sentences about what is not listed, and why."""

    rows: tuple[ValueChange, ...]
    left_out: tuple[str, ...]


def value_changes(before: Graph, after: Graph) -> Changes:
    """Compare in the order of the newer flow. An added or removed node is one row. Edges are not listed."""
    rows: list[ValueChange] = []
    left_out: list[str] = []
    looking, lines, chars = _Looking(), LineBudget(), MAX_SHOWN_CHARS
    for node, path, old, new in _differences(before, after, looking):
        if len(rows) == MAX_ROWS or chars < 0:
            left_out.append(f"More values differ than the {len(rows)} listed here.")
            break
        row = _row(node, path, old, new, lines)
        chars -= len(row.before or "") + len(row.after or "") + sum(len(line.text) for line in row.lines)
        rows.append(row)
    if looking.left <= 0:
        left_out.append(f"Only the first {MAX_VALUES:,} values were compared.")
    if lines.is_spent:
        left_out.append("Some texts are too long to be compared line by line; they are shown whole.")
    return Changes(tuple(rows), tuple(left_out))


Pair = tuple[Path, Any, Any]
Difference = tuple[Node | None, Path, Any, Any]


class _Looking:
    """Counts the compared values."""

    def __init__(self) -> None:
        self.left = MAX_VALUES


def _differences(before: Graph, after: Graph, looking: _Looking) -> Iterator[Difference]:
    old, new = ({node.id: node for node in graph.nodes} for graph in (before, after))
    for path, one, other in _within("", before.settings, after.settings, looking):
        yield None, path, one, other
    for node_id in {**new, **old}:
        if node_id not in old or node_id not in new:
            node = new.get(node_id) or old[node_id]
            one = old[node_id].type if node_id in old else _MISSING
            yield node, "", one, new[node_id].type if node_id in new else _MISSING
            continue
        one, other = without_edges(old[node_id].settings), without_edges(new[node_id].settings)
        for path, value, changed in () if same(one, other) else _within("", one, other, looking):
            yield new[node_id], path, value, changed


def _within(path: Path, before: Any, after: Any, looking: _Looking) -> Iterator[Pair]:
    """Compare in the order of the document, without recursion, because documents may be deep."""
    stack: list[Iterator[Pair]] = [iter([(path, before, after)])]
    while stack and looking.left > 0:
        pair = next(stack[-1], None)
        if pair is None:
            stack.pop()
            continue
        looking.left -= 1
        path, one, other = pair
        if isinstance(one, dict) and isinstance(other, dict):
            stack.append(_members(path, one, other))
        elif isinstance(one, list) and isinstance(other, list):
            stack.append(_items(path, one, other))
        elif one is _MISSING or other is _MISSING or type(one) is not type(other) or str(one) != str(other):
            yield pair


def _members(path: Path, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Pair]:
    for key in {**before, **after}:
        yield (path, key), before.get(key, _MISSING), after.get(key, _MISSING)


def _items(path: Path, before: Sequence[Any], after: Sequence[Any]) -> Iterator[Pair]:
    for index, (old, new) in enumerate(zip_longest(before, after, fillvalue=_MISSING)):
        yield (path, index), old, new


def _row(node: Node | None, path: Path, old: Any, new: Any, budget: LineBudget) -> ValueChange:
    key = path[1] if isinstance(path, tuple) and isinstance(path[1], str) else ""
    before, after = (None if value is _MISSING else shown(value, key) for value in (old, new))
    lines: tuple[Line, ...] = ()
    if before and after and before != HIDDEN != after and "\n" in before + after:
        lines = lines_between(before, after, budget)
    is_cut = any(text is not None and len(text) >= MAX_CHARS for text in (before, after))
    return ValueChange(node, shown_path(path), before, after, lines, is_cut)
