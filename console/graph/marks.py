"""Marks the differences between two graphs in both."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from console.graph.model import Edge, Graph, Node

ADDED, REMOVED, CHANGED, MOVED = "added", "removed", "changed", "moved"
_encode = msgspec.json.Encoder(order="sorted").encode


def mark_changes(before: Graph, after: Graph) -> tuple[Graph, Graph]:
    """Mark nodes and edges: `removed` in the first graph, `added` in the second, `changed` and `moved` in both.

    Nodes are not `moved` if a graph has no saved positions.
    """
    are_placed = before.has_positions and after.has_positions
    old, new = ({node.id: node for node in graph.nodes} for graph in (before, after))
    both = {node_id: _marks(old[node_id], node, are_placed) for node_id, node in new.items() if node_id in old}
    links, new_links = (set(map(_link, graph.edges)) for graph in (before, after))
    return (
        replace(before, nodes=_nodes(before, both, REMOVED), edges=_edges(before.edges, new_links, REMOVED)),
        replace(after, nodes=_nodes(after, both, ADDED), edges=_edges(after.edges, links, ADDED)),
    )


def same(before: Any, after: Any) -> bool:
    """Whether two JSON values are equal. 1, 1.0 and true are different."""
    try:
        return _encode(before) == _encode(after)
    except (TypeError, ValueError, OverflowError, RecursionError):  # a number that msgspec cannot write
        return repr(before) == repr(after)


def without_edges(node: Mapping[str, Any]) -> dict[str, Any]:
    """A node without its dependencies, which are compared as edges."""
    return {key: value for key, value in node.items() if key != "depends"}


def _marks(before: Node, after: Node, are_placed: bool) -> tuple[str, ...]:
    changed = () if same(without_edges(before.settings), without_edges(after.settings)) else (CHANGED,)
    moved = are_placed and before.place != after.place
    return (*changed, MOVED) if moved else changed


def _nodes(graph: Graph, both: Mapping[str, tuple[str, ...]], otherwise: str) -> tuple[Node, ...]:
    return tuple(replace(node, marks=both.get(node.id, (otherwise,))) for node in graph.nodes)


def _edges(edges: Iterable[Edge], others: set[tuple[str, str, str]], otherwise: str) -> tuple[Edge, ...]:
    return tuple(edge if _link(edge) in others else replace(edge, marks=(otherwise,)) for edge in edges)


def _link(edge: Edge) -> tuple[str, str, str]:
    return edge.source, edge.target, edge.option
