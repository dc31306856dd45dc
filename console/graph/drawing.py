"""The lines between nodes, as SVG paths."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from console.graph.layers import COLUMN
from console.graph.model import Box

Point = tuple[float, float]
_REACH = 60
"""How far a line that leads back extends to the side."""
_CLEARANCE = 36


class Line(NamedTuple):
    """A path and the position of its label."""

    path: str
    label_at: Point


def line(source: Box, target: Box, leaves: float, label: float, bends: Sequence[Point] = ()) -> Line:
    """A line from the right side of `source` to the left side of `target`.

    `leaves` is the start on the right side, from the top, and `label` the position along the line: both from 0 to 1.
    """
    start = (source.x + source.width, source.y + source.height * leaves)
    end = (target.x, target.y + target.height / 2)
    if source is target:
        return _loop(source, start)
    if end[0] < start[0] + 8:
        return _back(source, target, start, end)
    return _forward([start, *_lanes(bends, source.width), end], label)


def _lanes(bends: Sequence[Point], width: float) -> list[Point]:
    """A path through bends. Each bend has the width of a node, between the nodes above and below."""
    return [(x + side, y) for x, y in bends for side in (0, min(width, COLUMN - 60))]


def _forward(points: Sequence[Point], label: float) -> Line:
    path = [f"M{_at(points[0])}"]
    for index, (one, other) in enumerate(pairwise(points)):
        if index % 2:
            path.append(f"L{_at(other)}")
            continue
        reach = max((other[0] - one[0]) / 2, 24)
        path.append(f"C{_at((one[0] + reach, one[1]))} {_at((other[0] - reach, other[1]))} {_at(other)}")
    (x, y), (x2, y2) = points[0], points[1]
    rise = label * label * (3 - 2 * label)  # close to the curve
    return Line("".join(path), (x + (x2 - x) * label, y + (y2 - y) * rise))


def _back(source: Box, target: Box, start: Point, end: Point) -> Line:
    """A line that leads back, between both nodes if there is space, otherwise below them."""
    above, below = sorted((source, target), key=lambda box: box.y)
    has_room = below.y - (above.y + above.height) > 2 * _CLEARANCE
    y = (above.y + above.height + below.y) / 2 if has_room else below.y + below.height + _CLEARANCE
    right, left = start[0] + _REACH, end[0] - _REACH
    path = (
        f"M{_at(start)}C{_at((right, start[1]))} {_at((right, y))} {_at((start[0], y))}"
        f"L{_at((end[0], y))}C{_at((left, y))} {_at((left, end[1]))} {_at(end)}"
    )
    return Line(path, ((start[0] + end[0]) / 2, y))


def _loop(box: Box, start: Point) -> Line:
    top = box.y - _CLEARANCE
    end = (box.x, box.y + box.height / 2)
    path = (
        f"M{_at(start)}C{_at((start[0] + 40, start[1]))} {_at((start[0] + 40, top))} {_at((start[0] - 20, top))}"
        f"L{_at((end[0] + 20, top))}C{_at((end[0] - 40, top))} {_at((end[0] - 40, end[1]))} {_at(end)}"
    )
    return Line(path, (box.x + box.width / 2, top))


def _at(point: Point) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"


def around(boxes: Sequence[Box], margin: float) -> Box:
    if not boxes:
        return Box(0, 0, 320, 120)
    left, top = min(box.x for box in boxes) - margin, min(box.y for box in boxes) - margin
    right = max(box.x + box.width for box in boxes) + margin
    bottom = max(box.y + box.height for box in boxes) + margin
    return Box(left, top, right - left, bottom - top)
