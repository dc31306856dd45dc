"""A graph that is ready to be drawn: all numbers are finite, and all texts are short or cut."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from console.graph.families import ICONS
from console.graph.texts import counted, estimated, fitted, wrapped


class Box(NamedTuple):
    """A rectangle in units of the canvas. `x` and `y` are the top left corner."""

    x: float
    y: float
    width: float
    height: float


class Part(NamedTuple):
    """A node within a node: the model or a tool of an agent, or the node of a map."""

    name: str
    family: str


class ShownPart(NamedTuple):
    """A part as drawn. `icon` is a path, or "" for the counter of the rest."""

    text: str
    icon: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the flow. `marks` are any of added, removed, changed, moved."""

    id: str
    type: str
    """Dotted name of its class, or ""."""
    name: str
    family: str
    box: Box
    settings: Mapping[str, Any]
    """The node's object in the flow."""
    ref: str
    """Its name in URLs: its id, or its number in the flow if the id is very long."""
    place: tuple[float, float] | None = None
    """Its position on the canvas."""
    parts: tuple[Part, ...] = ()
    marks: tuple[str, ...] = ()

    @property
    def shown_name(self) -> str:
        return fitted(self.name, self.box.width - 66, 15)  # 14 px, but bold

    @property
    def shown_kind(self) -> str:
        return fitted(self.kind, self.box.width - 68, 12)

    @property
    def icon(self) -> str:
        return ICONS[self.family]

    @property
    def mark_width(self) -> float:
        return estimated(", ".join(self.marks), 11) + 18

    @property
    def shown_parts(self) -> tuple[ShownPart, ...]:
        """The parts that fit, and a counter of the rest."""
        x, room, found = 12.0, self.box.width - 24, []
        for index, part in enumerate(self.parts):
            rest = len(self.parts) - index
            name = fitted(part.name, 84, 11)
            width = estimated(name, 11) + 26
            if width > room - (34 if rest > 1 else 0):
                found.append(ShownPart(f"+{rest}", "", x, 30))
                break
            found.append(ShownPart(name, ICONS[part.family], x, width))
            x, room = x + width + 6, room - width - 6
        return tuple(found)

    @property
    def kind(self) -> str:
        """The last part of its type."""
        return self.type.rpartition(".")[2] or "no type"

    @property
    def key(self) -> str:
        """Its name, with its id if they differ, to identify it in a list."""
        return self.name if self.name == self.id else f"{self.name} ({self.id})"


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge: `target` depends on `source`. `option` is the choice's option, or ""."""

    source: str
    target: str
    option: str
    label: str
    """The name of the option."""
    path: str
    """The `d` of an SVG path element."""
    label_at: tuple[float, float]
    marks: tuple[str, ...] = ()

    @property
    def shown_label(self) -> str:
        return fitted(self.label, 132, 12)

    @property
    def label_width(self) -> float:
        return estimated(self.shown_label, 12) + 18


@dataclass(frozen=True, slots=True)
class Note:
    """A sticky note."""

    text: str
    box: Box

    @property
    def lines(self) -> list[str]:
        return wrapped(self.text, self.box.width - 28, 13, max(int((self.box.height - 20) // 18), 1))


@dataclass(frozen=True, slots=True)
class Frame:
    """A group of nodes, drawn as a named area behind them."""

    name: str
    box: Box

    @property
    def shown_name(self) -> str:
        return fitted(self.name, self.box.width - 24, 13)


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph. Nodes and edges are in the order of the flow."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    notes: tuple[Note, ...]
    frames: tuple[Frame, ...]
    box: Box
    """The box around everything, with a margin."""
    settings: Mapping[str, Any]
    """The flow's other fields."""
    has_positions: bool
    """Whether the canvas has positions. Otherwise the nodes are laid out here."""
    left_out: tuple[str, ...]
    """Sentences about what is not drawn, and why."""

    @property
    def counts(self) -> str:
        return f"{counted(len(self.nodes), 'node')}, {counted(len(self.edges), 'edge')}"

    @property
    def is_marked(self) -> bool:
        return any(item.marks for items in (self.nodes, self.edges) for item in items)

    @property
    def listed(self) -> list[tuple[Node, list[tuple[Node, Edge]]]]:
        """Each node with the nodes that it depends on."""
        by_id = {node.id: node for node in self.nodes}
        links: dict[str, list[tuple[Node, Edge]]] = {node.id: [] for node in self.nodes}
        for edge in self.edges:
            links[edge.target].append((by_id[edge.source], edge))
        return [(node, links[node.id]) for node in self.nodes]
