"""Draws a version's flow as SVG, and compares two of them.

- `read_graph(flow, flow_ui)` reads a version's documents into a `Graph` with positions. It never raises:
  `Graph.left_out` says what is not drawn and why.
- `mark_changes(before, after)` marks in both graphs what was added, removed, changed or moved.
- `value_changes(before, after)` lists the values that differ, with long text line by line.
- `node_details(graph, ref)` has a node's settings for the panel beside the graph.

The templates are in templates/graph/graph.html, with static/graph.css and static/graph.js. These functions
use CPU without waiting: for documents of megabytes, call them in a thread.
"""

from console.graph.details import NodeDetails, node_details
from console.graph.marks import mark_changes
from console.graph.model import Graph
from console.graph.reading import read_graph
from console.graph.values import Changes, ValueChange, value_changes

__all__ = [
    "Changes",
    "Graph",
    "NodeDetails",
    "ValueChange",
    "mark_changes",
    "node_details",
    "read_graph",
    "value_changes",
]
