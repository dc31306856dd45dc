"""Finds the nodes within a node, which a canvas does not show: an agent's model and tools, the node of a map."""

from collections.abc import Iterator, Mapping
from typing import Any

from console.graph.families import family_of
from console.graph.model import Part
from console.graph.texts import name_of

_MAX_PARTS = 200
_SINGLE = ("llm", "node", "embedder", "text_embedder", "document_embedder", "manager", "memory")
_SEVERAL = ("tools", "agents")


def parts_of(node: Mapping[str, Any]) -> tuple[Part, ...]:
    """The nodes within a node, the model first, then the tools."""
    return tuple(part for part, _ in zip(_parts(node), range(_MAX_PARTS), strict=False))


def _parts(node: Mapping[str, Any]) -> Iterator[Part]:
    several = (value[:_MAX_PARTS] for key in _SEVERAL if isinstance(value := node.get(key), list))
    for part in (*(node.get(key) for key in _SINGLE), *(part for parts in several for part in parts)):
        if isinstance(part, dict) and isinstance(dotted := part.get("type"), str):
            kind = dotted[-200:].rpartition(".")[2]
            yield Part(name_of(part.get("name"), kind), family_of(dotted[:500]))
