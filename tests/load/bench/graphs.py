"""What is saved and read: the graphs that `flowpin seed` draws, as request bodies."""

import random
from dataclasses import dataclass

from flowpin_cli.seed.graphs import Graph as Drawing

USUAL_BYTES = 7_000
"""Of flow and flow_ui together."""


@dataclass(frozen=True, slots=True)
class Graph:
    """JSON, as it is sent."""

    flow: bytes
    flow_ui: bytes

    @property
    def size(self) -> int:
        return len(self.flow) + len(self.flow_ui)

    @property
    def body(self) -> bytes:
        """Of a save; and, as it takes the same fields, of a ping."""
        return b'{"flow": %s, "flow_ui": %s}' % (self.flow, self.flow_ui)


def graph(size: int = USUAL_BYTES) -> Graph:
    """The same every time."""
    drawing = Drawing(random.Random(1), size)
    return Graph(drawing.flow, drawing.flow_ui)


def large_graph(flow_size: int) -> Graph:
    """One whose flow alone is about so large, with the canvas of a usual one."""
    share = 0.76  # of what is drawn, as nodes get many
    return Graph(graph(round(flow_size / share)).flow, graph().flow_ui)
