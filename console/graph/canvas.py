"""Reads the positions of nodes, notes and groups from `flow_ui`, written by React Flow in snake or camel case."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from console.graph.documents import Canvas
from console.graph.model import Box

MAX_ITEMS = 10_000
MAX_NOTE_CHARS = 4_000
FURTHEST = 1_000_000.0
"""Maximum coordinate. Positions further away are ignored."""
_MAX_PARENTS = 10
_NOTES, _GROUPS = ("note", "sticky", "comment", "annotation"), ("group", "frame")
_PARENT = ("parent_id", "parentId", "parent_node", "parentNode")
_ABSOLUTE = ("position_absolute", "positionAbsolute")


@dataclass(frozen=True, slots=True)
class Item:
    """An item on the canvas. `names` are possible names of its node, most reliable first. A size of 0 means none."""

    id: str
    names: tuple[str, ...]
    kind: str
    """node, note or group."""
    text: str
    corner: tuple[float, float] | None
    width: float
    height: float

    def box(self, width: float, height: float) -> Box | None:
        """The item's box, with the given size if it has none."""
        return self.corner and Box(*self.corner, self.width or width, self.height or height)


def items_of(canvas: Canvas, left_out: list[str]) -> list[Item]:
    raw = [*_listed(canvas.nodes)]
    found = [*raw, *({"type": "note", **note} for note in _listed(canvas.notes))]
    found += [{"type": "group", **group} for group in _listed(canvas.groups)]
    if len(found) > MAX_ITEMS:
        left_out.append(f"The layout holds {len(found):,} items, of which {MAX_ITEMS:,} are drawn.")
    by_id = {item["id"]: item for item in raw if isinstance(item.get("id"), str)}
    return [_item(item, by_id) for item in found[:MAX_ITEMS]]


def links_of(canvas: Canvas) -> Iterable[tuple[Any, Any]]:
    """Source and target of each edge on the canvas, as ids of the canvas."""
    return ((edge.get("source"), edge.get("target")) for edge in _listed(canvas.edges)[:MAX_ITEMS])


def _listed(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _item(item: Mapping[str, Any], by_id: Mapping[str, Mapping[str, Any]]) -> Item:
    data = _object(item.get("data"))
    metadata, shown = _object(data.get("metadata")), _object(data.get("metadata_ui"))
    candidates = (item.get("id"), metadata.get("name"), item.get("node_name"), item.get("title"), metadata.get("id"))
    kind = str(item.get("type") or "")[:200].rpartition(".")[2].lower()
    texts = [holder.get(key) for key in ("text", "content", "note", "label") for holder in (data, shown, item)]
    if kind.endswith(_GROUPS):
        texts += [data.get("title"), data.get("name"), item.get("title"), item.get("name")]
    measured = _object(item.get("measured")) or _object(item.get("style"))
    return Item(
        id=candidates[0] if isinstance(candidates[0], str) else "",
        names=tuple(name for name in candidates if isinstance(name, str)),
        kind="note" if kind.endswith(_NOTES) else "group" if kind.endswith(_GROUPS) else "node",
        text=next((text for text in texts if isinstance(text, str) and text.strip()), "")[:MAX_NOTE_CHARS],
        corner=_corner(item, by_id),
        width=_size(item.get("width")) or _size(measured.get("width")),
        height=_size(item.get("height")) or _size(measured.get("height")),
    )


def _corner(item: Mapping[str, Any], by_id: Mapping[str, Mapping[str, Any]]) -> tuple[float, float] | None:
    """Its absolute position. A position within a group is relative to it."""
    x = y = 0.0
    current: Mapping[str, Any] | None = item
    for _ in range(_MAX_PARENTS):
        if current is None:
            break
        absolute = next((place for key in _ABSOLUTE if (place := _point(current.get(key)))), None)
        place = absolute or _point(current.get("position"))
        if place is None:
            return None
        x, y = x + place[0], y + place[1]
        parents = [current[key] for key in _PARENT if isinstance(current.get(key), str)]
        current = by_id.get(parents[0]) if parents and not absolute else None
    return (x, y) if max(abs(x), abs(y)) <= FURTHEST else None


def _point(value: Any) -> tuple[float, float] | None:
    place = _object(value)
    x, y = _number(place.get("x")), _number(place.get("y"))
    return None if x is None or y is None else (x, y)


def _number(value: Any) -> float | None:
    """The number, or None unless it is finite and small enough to be drawn."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -FURTHEST <= value <= FURTHEST else None


def _size(value: Any) -> float:
    size = _number(value) or 0.0
    return size if 20 <= size <= 20_000 else 0.0


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
