"""Compares two states of a flow: node by node, edge by edge, value by value."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from service_kit.documents import holds_more_than
from service_kit.errors import DocumentTooComplex
from service_kit.paths import Path, shown

Flow = Mapping[str, Any]
Pair = tuple[Path, Any, Any]
"""A path and the two values at it."""
MAX_VALUES = 1_000_000
"""Maximum values of a document: keys, scalars, lists and objects."""
MAX_DIFFERENCES = 100_000
"""Nodes, edges and values that differ."""
MAX_CHANGES = 1000
"""Maximum number of changes that are listed one by one. If there are more, whole values are listed by key."""
MISSING = object()
"""Marks a value that one of the two versions does not have."""


@dataclass(frozen=True, slots=True)
class ValueChange:
    """`path` is relative to the compared object. `before` or `after` may be MISSING."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class NodeChange:
    id: str
    type: str
    changes: tuple[ValueChange, ...]


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """`target` waits for `source`. `option` is the option that it waits for, "" without one."""

    source: str
    target: str
    option: str


@dataclass(frozen=True, slots=True)
class FlowDiff:
    """The differences of two states. `added` and `removed` contain (id, type) pairs of nodes."""

    added: tuple[tuple[str, str], ...]
    removed: tuple[tuple[str, str], ...]
    changed: tuple[NodeChange, ...]
    edges_added: tuple[Edge, ...]
    edges_removed: tuple[Edge, ...]
    flow: tuple[ValueChange, ...]

    @property
    def size(self) -> int:
        ends = (self.added, self.removed, self.edges_added, self.edges_removed, self.flow)
        return sum(map(len, ends)) + sum(1 + len(node.changes) for node in self.changed)

    @property
    def touched(self) -> frozenset[str]:
        """The ids of all nodes whose values or dependencies differ."""
        ids = {node_id for node_id, _ in (*self.added, *self.removed)} | {change.id for change in self.changed}
        return frozenset(ids | {edge.target for edge in (*self.edges_added, *self.edges_removed)})


def diff_flows(before: Flow, after: Flow) -> FlowDiff:
    """The differences from `before` to `after`, two flows that passed the basic check.

    Raises DocumentTooComplex if there are more than MAX_DIFFERENCES.
    """
    old, new = _nodes(before), _nodes(after)
    edges_before, edges_after = set(_edges(before)), set(_edges(after))
    changed, left = [], MAX_CHANGES
    for node_id in new:
        if node_id in old and (changes := _node_changes(old[node_id], new[node_id], left)):
            changed.append(NodeChange(node_id, str(new[node_id]["type"]), changes))
            left = max(left - len(changes), 0)
    found = FlowDiff(
        added=tuple((node_id, str(node["type"])) for node_id, node in new.items() if node_id not in old),
        removed=tuple((node_id, str(node["type"])) for node_id, node in old.items() if node_id not in new),
        changed=tuple(changed),
        edges_added=tuple(sorted(edges_after - edges_before)),
        edges_removed=tuple(sorted(edges_before - edges_after)),
        flow=_told(_pairs(before, after, "nodes"), left),
    )
    if found.size > MAX_DIFFERENCES:
        raise DocumentTooComplex(f"differs in more than {MAX_DIFFERENCES:,} places")
    return found


def parse(document: bytes) -> Any:
    """Parse a saved document. Raises DocumentTooComplex when it has too many values to compare."""
    value = json.loads(document)
    if holds_more_than(MAX_VALUES, value):
        raise DocumentTooComplex(f"holds more than {MAX_VALUES:,} values")
    return value


def same(before: Any, after: Any) -> bool:
    """Whether two JSON values are equal. 1, 1.0 and true are different."""
    return json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)


def nodes_changed_by_both(start: bytes, theirs: bytes, ours: bytes) -> list[str]:
    """The ids of nodes that both flows changed since `start`. Raises DocumentTooComplex."""
    before = parse(start)
    return sorted(diff_flows(before, parse(theirs)).touched & diff_flows(before, parse(ours)).touched)


def same_documents(before: bytes, after: bytes) -> bool:
    """Like `same`, for saved documents. Raises DocumentTooComplex."""
    return same(parse(before), parse(after))


def _nodes(flow: Flow) -> dict[str, Mapping[str, Any]]:
    return {node["id"]: node for node in flow["nodes"]}


def _edges(flow: Flow) -> Iterator[Edge]:
    for node in flow["nodes"]:
        depends = node.get("depends")
        for dependency in depends if isinstance(depends, list) else ():
            if _is_edge(dependency):
                yield Edge(dependency["node"], node["id"], dependency.get("option") or "")


def _is_edge(dependency: Any) -> bool:
    return (
        isinstance(dependency, dict)
        and isinstance(dependency.get("node"), str)
        and isinstance(dependency.get("option"), str | None)
    )


def _node_changes(before: Mapping[str, Any], after: Mapping[str, Any], left: int) -> tuple[ValueChange, ...]:
    if same(before, after):
        return ()
    # Edges are compared separately. Other parts of `depends`, such as a trigger, are ordinary values.
    return _told([*_pairs(before, after, "depends"), *_dependency_pairs(before, after)], left)


def _pairs(before: Mapping[str, Any], after: Mapping[str, Any], without: str) -> list[Pair]:
    keys = (key for key in {**before, **after} if key != without)
    return [(("", key), before.get(key, MISSING), after.get(key, MISSING)) for key in keys]


def _dependency_pairs(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Pair]:
    """Pairs of the other fields of each dependency, by its index in the newer version. Also a pair of `depends` values
    that are not lists of edges."""
    (old, old_rest), (new, new_rest) = _dependencies(before), _dependencies(after)
    for edge in old | new:
        index, _ = new.get(edge) or old[edge]
        yield ("depends", index), old.get(edge, (0, {}))[1], new.get(edge, (0, {}))[1]
    yield "depends", old_rest, new_rest


def _dependencies(node: Mapping[str, Any]) -> tuple[dict[tuple[str, str], tuple[int, Any]], Any]:
    depends = node.get("depends") or []
    if not isinstance(depends, list) or not all(map(_is_edge, depends)):
        return {}, depends
    more = ({key: value for key, value in found.items() if key not in ("node", "option")} for found in depends)
    edges = ((found["node"], found.get("option") or "") for found in depends)
    return dict(zip(edges, enumerate(more), strict=True)), []


def _told(pairs: Sequence[Pair], left: int) -> tuple[ValueChange, ...]:
    """Up to `left` changes one by one, or changes of whole values if there are more."""
    found = tuple(islice(chain.from_iterable(_changes(*pair) for pair in pairs), left + 1))
    if len(found) <= left:
        return found
    return tuple(ValueChange(shown(path), old, new) for path, old, new in pairs if _differ(old, new))


def _differ(before: Any, after: Any) -> bool:
    return before is MISSING or after is MISSING or not same(before, after)


def _changes(path: Path, before: Any, after: Any) -> Iterator[ValueChange]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before | after:
            yield from _changes((path, key), before.get(key, MISSING), after.get(key, MISSING))
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            old = before[index] if index < len(before) else MISSING
            new = after[index] if index < len(after) else MISSING
            yield from _changes((path, index), old, new)
    elif type(before) is not type(after) or str(before) != str(after):  # as text, because -0.0 == 0.0
        yield ValueChange(shown(path), before, after)
