"""The settings of one node for the panel next to the graph."""

from dataclasses import dataclass
from typing import Any

from console.graph.model import Graph, Node
from console.graph.shown_values import shown

_ELSEWHERE = ("id", "type", "name", "depends")
_MAX_FIELDS = 200
_MAX_LINKS = 200
_SHORT = 60


@dataclass(frozen=True, slots=True)
class Field:
    """A setting. `is_long`: it is shown on separate lines."""

    name: str
    text: str
    is_long: bool


@dataclass(frozen=True, slots=True)
class NodeDetails:
    """Details of a node. `waits_for` and `followed_by` are nodes, each with the choice's option or ""."""

    node: Node
    fields: tuple[Field, ...]
    waits_for: tuple[tuple[Node, str], ...]
    followed_by: tuple[tuple[Node, str], ...]
    left_out: tuple[str, ...]


def node_details(graph: Graph, ref: str) -> NodeDetails | None:
    """The details of the node with this `ref`, or None."""
    node = next((node for node in graph.nodes if node.ref == ref), None)
    if node is None:
        return None
    by_id = {other.id: other for other in graph.nodes}
    before = [(by_id[edge.source], edge.label) for edge in graph.edges if edge.target == node.id]
    after = [(by_id[edge.target], edge.label) for edge in graph.edges if edge.source == node.id]
    settings = [(key, value) for key, value in node.settings.items() if key not in _ELSEWHERE]
    counts = ((len(settings), _MAX_FIELDS, "settings"), (max(len(before), len(after)), _MAX_LINKS, "links"))
    return NodeDetails(
        node=node,
        fields=tuple(_field(key, value) for key, value in settings[:_MAX_FIELDS]),
        waits_for=tuple(before[:_MAX_LINKS]),
        followed_by=tuple(after[:_MAX_LINKS]),
        left_out=tuple(f"{count - most:,} more {what}." for count, most, what in counts if count > most),
    )


def _field(key: str, value: Any) -> Field:
    text = shown(value, key)
    return Field(key[:200], text, is_long=len(text) > _SHORT or "\n" in text)
