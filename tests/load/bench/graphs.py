"""The graphs of `flowpin seed` as request bodies, which are saved and read."""

import random
from dataclasses import dataclass

from flowpin_cli.seed.graphs import Graph as Drawing

USUAL_BYTES = 7_000
"""Size of flow and flow_ui together."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A flow and its canvas as the JSON that is sent."""

    flow: bytes
    flow_ui: bytes

    @property
    def size(self) -> int:
        return len(self.flow) + len(self.flow_ui)

    @property
    def body(self) -> bytes:
        """The body of a save. A ping accepts the same fields."""
        return b'{"flow": %s, "flow_ui": %s}' % (self.flow, self.flow_ui)


def graph(size: int = USUAL_BYTES) -> Graph:
    """The same graph every time."""
    drawing = Drawing(random.Random(1), size)
    return Graph(drawing.flow, drawing.flow_ui)


def large_graph(flow_size: int) -> Graph:
    """A graph whose flow has about this size, with the canvas of an ordinary one."""
    share = 0.76  # of the generated nodes
    return Graph(graph(round(flow_size / share)).flow, graph().flow_ui)
