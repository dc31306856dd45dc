"""Places nodes in columns to the right of their dependencies, with few crossings: the Sugiyama method in limited time.

No package fits. grandalf 0.8 (2023) takes 8 s for a chain of 2,000 nodes. fast-sugiyama 0.5.3 aborts the process on a
cycle. igraph 1.0 is under the GPL and takes 54 s for 20,000 edges. networkx 3.6 refuses cycles.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from console.graph.columns import Columns, ordered
from console.graph.rows import rows_of

COLUMN = 320
"""Distance between the left sides of two columns."""
GAP = 32
"""Distance between two nodes of a column."""
_GRID = 5
"""Number of columns for nodes without edges."""
_MOST_BENDS = 6_000
"""Limit for all edges together. The longest edges beyond it are straight."""

Edge = tuple[int, int]
Point = tuple[float, float]


@dataclass(slots=True)
class Layout:
    """Top left corners by node, and the points of each edge by its index."""

    corners: list[Point]
    bends: dict[int, list[Point]] = field(default_factory=dict)


def lay_out(heights: Sequence[float], edges: Sequence[Edge]) -> Layout:
    """Lay a graph out. `edges` are pairs of indexes of nodes. The result is deterministic."""
    layout = Layout([(0.0, 0.0)] * len(heights))
    bottom = 0.0
    parts, alone = _parts(len(heights), edges)
    bends_left = _MOST_BENDS
    for nodes, inside in parts:
        columns = _columns(nodes, [edges[place] for place in inside], bends_left)
        bends_left -= len(columns.members) - len(nodes)
        rows = rows_of(ordered(columns), [*(heights[node] for node in nodes), *[0.0] * columns.bend_count], GAP)
        half = [heights[node] / 2 for node in nodes]
        top = min(rows[index] - half[index] for index in range(len(nodes)))
        for index, node in enumerate(nodes):
            layout.corners[node] = (columns.members[index] * COLUMN, rows[index] - half[index] - top + bottom)
        for edge, bends in columns.bends.items():
            layout.bends[inside[edge]] = [
                (columns.members[index] * COLUMN, rows[index] - top + bottom) for index in bends
            ]
        bottom += max(rows[index] + half[index] for index in range(len(nodes))) - top + 2 * GAP
    height = max((heights[node] for node in alone), default=0.0)
    for index, node in enumerate(alone):
        row, column = divmod(index, _GRID)
        layout.corners[node] = (column * COLUMN, bottom + row * (height + GAP))
    return layout


def _parts(count: int, edges: Sequence[Edge]) -> tuple[list[tuple[list[int], list[int]]], list[int]]:
    """The connected parts with their nodes and edges, and the nodes without edges."""
    roots = list(range(count))

    def root(node: int) -> int:
        while roots[node] != node:
            roots[node] = roots[roots[node]]
            node = roots[node]
        return node

    touched = set()
    for source, target in edges:
        if source != target:
            touched |= {source, target}
            one, other = sorted((root(source), root(target)))
            roots[other] = one
    parts: dict[int, tuple[list[int], list[int]]] = {}
    for node in sorted(touched):
        parts.setdefault(root(node), ([], []))[0].append(node)
    for place, (source, target) in enumerate(edges):
        if source != target:
            parts[root(source)][1].append(place)
    return list(parts.values()), [node for node in range(count) if node not in touched]


def _columns(nodes: Sequence[int], edges: Sequence[Edge], bends_left: int) -> Columns:
    index = {node: place for place, node in enumerate(nodes)}
    return Columns(len(nodes), [(index[source], index[target]) for source, target in edges], bends_left)
