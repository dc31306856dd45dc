"""Assigns rows to the members of columns: the last step of the layout."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from console.graph.columns import Ordered

_MOST_ROUNDS = 6
_MOST_STEPS = 20_000
"""Limit of members that are placed. They take 50 ms."""


def rows_of(ordered: "Ordered", heights: Sequence[float], gap: float) -> list[float]:
    """The middle of each member, as close to the mean of its neighbours as the members above and below allow."""
    rows = [0.0] * len(heights)
    for column in ordered.columns:
        place(column, rows, heights, gap)
    rounds = max(min(_MOST_ROUNDS, _MOST_STEPS // (2 * len(heights) + 1)), 1)
    for round_ in range(rounds):
        for neighbours, columns in (
            (ordered.left, ordered.columns),
            (ordered.right, ordered.columns[::-1]),
        ):
            for column in columns:
                for member in column:
                    near = neighbours[member] or (() if round_ < rounds - 1 else ordered.right[member])
                    if near:
                        rows[member] = sum(rows[other] for other in near) / len(near)
                place(column, rows, heights, gap)
    return rows


def place(column: Sequence[int], rows: list[float], heights: Sequence[float], gap: float) -> None:
    """Move members apart by least squares: isotonic regression of the wanted rows minus the required space."""
    offset, offsets = 0.0, []
    for above, member in zip([None, *column], column, strict=False):
        if above is not None:
            offset += (heights[above] + heights[member]) / 2 + gap
        offsets.append(offset)
    blocks: list[tuple[float, int]] = []  # mean, size
    for member, space in zip(column, offsets, strict=True):
        mean, size = rows[member] - space, 1
        while blocks and blocks[-1][0] > mean:
            before, count = blocks.pop()
            mean = (before * count + mean * size) / (count + size)
            size += count
        blocks.append((mean, size))
    index = 0
    for mean, size in blocks:
        for _ in range(size):
            rows[column[index]] = mean + offsets[index]
            index += 1
