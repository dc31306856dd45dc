"""The layered layout places any graph, also a hostile one, in limited time without overlaps."""

import random
import time
from collections.abc import Sequence
from itertools import pairwise

import pytest

from console.graph.columns import Columns, ordered
from console.graph.layers import GAP, Edge, lay_out

HEIGHT = 60.0


def chain(count: int) -> list[Edge]:
    return [(number, number + 1) for number in range(count - 1)]


def rows(count: int, edges: Sequence[Edge]) -> dict[float, list[float]]:
    """The top coordinates of nodes, by column."""
    found: dict[float, list[float]] = {}
    for x, y in lay_out([HEIGHT] * count, edges).corners:
        found.setdefault(x, []).append(y)
    return {x: sorted(tops) for x, tops in sorted(found.items())}


def random_edges(count: int, edges: int) -> list[Edge]:
    rng = random.Random(count)
    return [(rng.randrange(count), rng.randrange(count)) for _ in range(edges)]


HOSTILE = {
    "nothing": (0, []),
    "one node": (1, []),
    "a node that waits for itself": (1, [(0, 0)]),
    "a circle": (3, [(0, 1), (1, 2), (2, 0)]),
    "a circle of 2,000": (2000, [*chain(2000), (1999, 0)]),
    "a chain of 2,000": (2000, chain(2000)),
    "a chain that all lead to the end of": (2000, [*chain(2000), *((n, 1999) for n in range(1998))]),
    "a star": (2000, [(0, n) for n in range(1, 2000)]),
    "two full columns": (200, [(n, 100 + m) for n in range(100) for m in range(100)]),
    "everything with everything": (100, [(n, m) for n in range(100) for m in range(100)]),
    "2,000 nodes alone": (2000, []),
    "1,000 pairs": (2000, [(2 * n, 2 * n + 1) for n in range(1000)]),
    "random": (2000, random_edges(2000, 4000)),
    "dense": (2000, random_edges(2000, 10_000)),
    "5,000 nodes": (5000, random_edges(5000, 10_000)),
    "the same edge often": (2, [(0, 1)] * 10_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_every_graph_is_laid_out_without_overlaps_in_limited_time(name: str):
    count, edges = HOSTILE[name]

    began = time.process_time()
    columns = rows(count, edges)
    taken = time.process_time() - began

    assert sum(map(len, columns.values())) == count
    for tops in columns.values():
        assert all(below - above >= HEIGHT + GAP / 2 for above, below in pairwise(tops))
    assert taken < 4, "500 ms on an idle machine"


def test_a_node_is_to_the_right_of_all_its_dependencies():
    rng = random.Random(2)
    edges = [(rng.randrange(max(0, n - 6), n), n) for n in range(1, 80) for _ in range(2)]

    corners = lay_out([HEIGHT] * 80, edges).corners

    assert all(corners[source][0] < corners[target][0] for source, target in edges)


def test_a_chain_of_nodes_is_laid_out_as_a_straight_line():
    assert {y for _, y in lay_out([HEIGHT] * 6, chain(6)).corners} == {0.0}


def test_a_long_edge_does_not_cross_nodes():
    # From 0 to 3 directly, and through 1 and 2.
    layout = lay_out([HEIGHT] * 4, [*chain(4), (0, 3)])

    bends = layout.bends[3]
    assert len(bends) == 2
    for x, y in bends:
        tops = [top for left, top in layout.corners if left == x]
        assert all(y < top or y > top + HEIGHT for top in tops)


def test_ordering_the_columns_removes_crossings():
    crossed = [(0, 5), (1, 4), (2, 3), (6, 3), (6, 4), (6, 5)]

    assert ordered(Columns(7, crossed, 0)).crossings() < 5


def test_a_node_without_dependencies_is_next_to_its_follower():
    corners = lay_out([HEIGHT] * 5, [(0, 1), (1, 2), (2, 3), (4, 3)]).corners

    assert corners[4][0] == corners[2][0]


def test_the_same_graph_is_laid_out_the_same_way():
    edges = random_edges(60, 90)

    assert lay_out([HEIGHT] * 60, edges) == lay_out([HEIGHT] * 60, edges)
