"""Assigns nodes to columns and orders them: the first two steps of the layout."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from itertools import pairwise

_MOST_STEPS = 40_000
"""Limit of members and links that ordering visits. They take 50 ms."""
_MOST_ROUNDS = 12

Edge = tuple[int, int]


class Columns:
    """A connected graph in columns. Members are nodes, and bends of edges that span several columns."""

    def __init__(self, count: int, edges: Sequence[Edge], most_bends: int) -> None:
        directed = _without_cycles(count, edges)
        self.members = _longest_paths(count, directed)
        """The column of each node, then of each bend."""
        self.bends: dict[int, list[int]] = {}
        """The bends of each edge, by its index. Edges that lead back have none."""
        self.links: list[Edge] = []
        """Links from member to member, one column apart unless there are too few bends."""
        by_length = sorted(range(len(directed)), key=lambda place: self._length(directed[place]))
        for place in by_length:
            source, target = directed[place]
            needed = self._length(directed[place]) - 1
            if not 0 < needed <= most_bends - (len(self.members) - count) or directed[place] != edges[place]:
                self.links.append((source, target))
                continue
            bends = list(range(len(self.members), len(self.members) + needed))
            self.members += range(self.members[source] + 1, self.members[target])
            self.bends[place] = bends
            self.links += zip([source, *bends], [*bends, target], strict=True)
        self.bend_count = len(self.members) - count

    def _length(self, edge: Edge) -> int:
        return self.members[edge[1]] - self.members[edge[0]]


def ordered(columns: Columns) -> "Ordered":
    """Order members by the barycenter of their neighbours, in sweeps to the right and left. Returns the best order."""
    found = Ordered(columns)
    size = len(columns.members) + len(columns.links)
    best, fewest = found.columns, found.crossings()
    for round_ in range(min(_MOST_ROUNDS, _MOST_STEPS // (size + 1))):
        if not fewest:
            break
        found.sweep(to_the_right=round_ % 2 == 0)
        crossings = found.crossings()
        if crossings < fewest:
            best, fewest = [list(column) for column in found.columns], crossings
    found.columns = best
    return found


class Ordered:
    """Columns whose members have an order."""

    def __init__(self, columns: Columns) -> None:
        self.left: list[list[int]] = [[] for _ in columns.members]
        """Neighbours of each member in columns further left."""
        self.right: list[list[int]] = [[] for _ in columns.members]
        for source, target in columns.links:
            self.right[source].append(target)
            self.left[target].append(source)
        self._column = columns.members
        self.columns: list[list[int]] = [[] for _ in range(max(columns.members) + 1)]
        for member in self._in_depth_first_order():
            self.columns[columns.members[member]].append(member)

    def sweep(self, *, to_the_right: bool) -> None:
        neighbours = self.left if to_the_right else self.right
        places = self._places()
        for column in self.columns if to_the_right else reversed(self.columns):
            near = ((member, [places[other] for other in neighbours[member]]) for member in column)
            wanted = {member: sum(found) / len(found) if found else places[member] for member, found in near}
            column.sort(key=wanted.__getitem__)
            places |= _relative(column)
        self.columns = [list(column) for column in self.columns]

    def crossings(self) -> int:
        """The number of crossings between neighbouring columns. Links over several columns are not counted."""
        count = 0
        for column, following in pairwise(self.columns):
            place = {member: index for index, member in enumerate(following)}
            ends: list[int] = []
            for member in column:
                reached = sorted(place[other] for other in self.right[member] if other in place)
                count += sum(len(ends) - bisect_left(ends, end + 1) for end in reached)
                for end in reached:
                    insort(ends, end)
        return count

    def _places(self) -> dict[int, float]:
        return {member: place for column in self.columns for member, place in _relative(column).items()}

    def _in_depth_first_order(self) -> Iterable[int]:
        """Members in an order that keeps connected ones together."""
        seen: set[int] = set()
        for start in sorted(range(len(self._column)), key=self._column.__getitem__):
            stack = [start]
            while stack:
                member = stack.pop()
                if member not in seen:
                    seen.add(member)
                    yield member
                    stack += reversed(self.right[member])


def _relative(column: Sequence[int]) -> dict[int, float]:
    """Positions between 0 and 1, which are comparable between columns of different lengths."""
    return {member: (index + 0.5) / len(column) for index, member in enumerate(column)}


def _without_cycles(count: int, edges: Sequence[Edge]) -> list[Edge]:
    """The same edges, with those that close a cycle reversed."""
    after: list[list[int]] = [[] for _ in range(count)]
    is_target = [False] * count
    for place, (source, target) in enumerate(edges):
        after[source].append(place)
        is_target[target] = True
    directed = list(edges)
    state = [0] * count  # 1: on the path from the start, 2: done
    for start in sorted(range(count), key=is_target.__getitem__):
        if state[start]:
            continue
        state[start] = 1
        way = [(start, iter(after[start]))]
        while way:
            node, places = way[-1]
            following = next(places, None)
            if following is None:
                state[node] = 2
                way.pop()
                continue
            target = edges[following][1]
            if state[target] == 1:
                directed[following] = (target, node)
            elif state[target] == 0:
                state[target] = 1
                way.append((target, iter(after[target])))
    return directed


def _longest_paths(count: int, edges: Sequence[Edge]) -> list[int]:
    """A column for each node, to the right of its sources. A node without sources is next to its nearest target."""
    after: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for source, target in edges:
        after[source].append(target)
        waiting[target] += 1
    columns = [0] * count
    starts = [node for node in range(count) if not waiting[node]]
    ready = list(starts)
    for node in ready:
        for target in after[node]:
            columns[target] = max(columns[target], columns[node] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    for node in starts:
        if after[node]:
            columns[node] = min(columns[target] for target in after[node]) - 1
    return columns
