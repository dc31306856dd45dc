"""Determines the position of each node: that of the canvas, or else that of a layout."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from console.graph.canvas import Item
from console.graph.layers import GAP, lay_out
from console.graph.model import Box
from console.graph.texts import counted, named

WIDTH, HEIGHT = 220, 60
_NARROWEST, _WIDEST, _TALLEST = 120, 400, 800
_BETWEEN = 48
"""Minimum space between a node and the next one to its right."""
_OPTION = 24
"""Height of a choice for each branch."""

_PARTS = 34
"""Height of a node's parts below its name."""

Link = tuple[str, str, str]


class Need(NamedTuple):
    """What a node shows in addition to its name."""

    options: int
    has_parts: bool

    @property
    def height(self) -> float:
        return max(HEIGHT, _OPTION * self.options + 16) + _PARTS * self.has_parts


@dataclass(slots=True)
class Places:
    boxes: dict[str, Box]
    given: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Positions of nodes on the canvas. Empty when all are laid out here."""
    bends: Mapping[int, Sequence[tuple[float, float]]] = field(default_factory=dict)
    """Bends, by the index of the link."""
    ids: dict[str, str] = field(default_factory=dict)
    """Ids of nodes, by their ids on the canvas."""


def places_of(needs: Mapping[str, Need], links: Sequence[Link], items: Sequence[Item], left_out: list[str]) -> Places:
    """The places of the nodes, by their ids."""
    heights = {node_id: need.height for node_id, need in needs.items()}
    found, ids = _matched(heights, items, left_out)
    given = {node_id: box for node_id, item in found.items() if (box := item.box(0, 0))}
    corners = {node_id: (box.x, box.y) for node_id, box in given.items()}
    if not given or len(set(corners.values())) == 1 < len(
        heights
    ):  # all have the same position, so it is not a real one
        boxes, bends = _laid_out(heights, links)
        return Places(boxes, {}, bends, ids)
    boxes = _sized(given, heights)
    missing = {node_id: height for node_id, height in heights.items() if node_id not in boxes}
    if missing:
        below = max(box.y + box.height for box in boxes.values()) + 2 * GAP
        left = min(box.x for box in boxes.values())
        added, _ = _laid_out(missing, links)
        boxes |= {node_id: box._replace(x=box.x + left, y=box.y + below) for node_id, box in added.items()}
        left_out.append(f"{counted(len(missing), 'node')} without a position in the layout, drawn at the bottom.")
    return Places(boxes, corners, ids=ids)


def _matched(
    node_ids: Mapping[str, float], items: Sequence[Item], left_out: list[str]
) -> tuple[dict[str, Item], dict[str, str]]:
    found: dict[str, Item] = {}
    ids: dict[str, str] = {}
    unknown: list[str] = []
    for item in items:
        if item.kind != "node":
            continue
        node_id = next((name for name in item.names if name in node_ids), None)
        if node_id is None or node_id in found:
            unknown.append(item.names[0] if item.names else "without an id")
        else:
            found[node_id] = item
            ids[item.id] = node_id
    if unknown:
        left_out.append(f"{counted(len(unknown), 'item')} of the layout without a node in the flow: {named(unknown)}.")
    return found, ids


def _laid_out(
    heights: Mapping[str, float], links: Sequence[Link]
) -> tuple[dict[str, Box], dict[int, list[tuple[float, float]]]]:
    index = {node_id: place for place, node_id in enumerate(heights)}
    inside = [place for place, link in enumerate(links) if link[0] in index and link[1] in index]
    edges = [(index[links[place][0]], index[links[place][1]]) for place in inside]
    layout = lay_out(list(heights.values()), edges)
    boxes = {
        node_id: Box(*corner, WIDTH, height)
        for (node_id, height), corner in zip(heights.items(), layout.corners, strict=True)
    }
    return boxes, {inside[edge]: bends for edge, bends in layout.bends.items()}


def _sized(given: Mapping[str, Box], heights: Mapping[str, float]) -> dict[str, Box]:
    """Boxes as wide as a name needs, if there is space. A choice grows around its middle."""
    widest = _free_width(given.values())
    boxes = {}
    for node_id, box in given.items():
        width = min(max(box.width or 0, min(WIDTH, widest), _NARROWEST), _WIDEST)
        height = max(min(box.height or HEIGHT, _TALLEST), heights[node_id])
        boxes[node_id] = Box(box.x, box.y - (height - (box.height or HEIGHT)) / 2, width, height)
    return boxes


def _free_width(boxes: Iterable[Box]) -> float:
    """The smallest distance between the left sides of neighbouring nodes in a row, minus the space between."""
    last: dict[int, float] = {}
    least = float(WIDTH + _BETWEEN)
    for box in sorted(boxes):
        row = int(box.y // HEIGHT)
        for near in (row - 1, row, row + 1):
            if near in last and box.x > last[near]:
                least = min(least, box.x - last[near])
        last[row] = box.x
    return least - _BETWEEN
