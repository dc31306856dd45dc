"""Compares two states of a flow: node by node, edge by edge, value by value."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Flow = Mapping[str, Any]
MISSING = object()
"""Stands for a value that one of the two states does not have."""


@dataclass(frozen=True, slots=True)
class ValueChange:
    """`path` is within what was compared; `before` or `after` may be MISSING."""

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
    """`target` waits for `source`; `option` is "" when it waits for no choice in particular."""

    source: str
    target: str
    option: str


@dataclass(frozen=True, slots=True)
class FlowDiff:
    """Nodes are (id, type) pairs where only one state has them."""

    added: tuple[tuple[str, str], ...]
    removed: tuple[tuple[str, str], ...]
    changed: tuple[NodeChange, ...]
    edges_added: tuple[Edge, ...]
    edges_removed: tuple[Edge, ...]
    flow: tuple[ValueChange, ...]

    @property
    def touched(self) -> frozenset[str]:
        """The ids of all nodes that differ, in their values or in what they wait for."""
        ids = {node_id for node_id, _ in (*self.added, *self.removed)} | {change.id for change in self.changed}
        return frozenset(ids | {edge.target for edge in (*self.edges_added, *self.edges_removed)})


def diff_flows(before: Flow, after: Flow) -> FlowDiff:
    """What differs from `before` to `after`, two flows that passed the light check."""
    old, new = _nodes(before), _nodes(after)
    edges_before, edges_after = set(_edges(before)), set(_edges(after))
    changed = (
        NodeChange(node_id, str(new[node_id]["type"]), tuple(_node_changes(old[node_id], new[node_id])))
        for node_id in new
        if node_id in old
    )
    return FlowDiff(
        added=tuple((node_id, str(node["type"])) for node_id, node in new.items() if node_id not in old),
        removed=tuple((node_id, str(node["type"])) for node_id, node in old.items() if node_id not in new),
        changed=tuple(change for change in changed if change.changes),
        edges_added=tuple(sorted(edges_after - edges_before)),
        edges_removed=tuple(sorted(edges_before - edges_after)),
        flow=tuple(_changes("", _without(before, "nodes"), _without(after, "nodes"))),
    )


def same(before: Any, after: Any) -> bool:
    """Whether two JSON values mean the same; 1, 1.0 and true do not."""
    return next(_changes("", before, after), None) is None


def _nodes(flow: Flow) -> dict[str, Mapping[str, Any]]:
    return {node["id"]: node for node in flow["nodes"]}


def _edges(flow: Flow) -> Iterator[Edge]:
    for node in flow["nodes"]:
        depends = node.get("depends")
        for dependency in depends if isinstance(depends, list) else ():
            if isinstance(dependency, dict) and isinstance(dependency.get("node"), str):
                yield Edge(dependency["node"], node["id"], str(dependency.get("option") or ""))


def _node_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[ValueChange]:
    # Edges are compared apart. What else stands in `depends`, such as a trigger, is a value like any other.
    yield from _changes("", _without(before, "depends"), _without(after, "depends"))
    yield from _changes("depends", _triggers(before), _triggers(after))


def _triggers(node: Mapping[str, Any]) -> Any:
    depends = node.get("depends")
    if not isinstance(depends, list) or not all(isinstance(dependency, dict) for dependency in depends):
        return depends or []
    more = (_without(dependency, "node", "option") for dependency in depends)
    return [values for values in more if values]


def _without(value: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: child for key, child in value.items() if key not in keys}


def _changes(path: str, before: Any, after: Any) -> Iterator[ValueChange]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before | after:
            where = f"{path}.{key}" if path else key
            yield from _changes(where, before.get(key, MISSING), after.get(key, MISSING))
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            old = before[index] if index < len(before) else MISSING
            new = after[index] if index < len(after) else MISSING
            yield from _changes(f"{path}[{index}]", old, new)
    elif type(before) is not type(after) or before != after:
        yield ValueChange(path, before, after)
