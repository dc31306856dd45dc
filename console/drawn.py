"""A version's graph for a page, with the settings of the node in the URL."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote_plus

from cachetools import LRUCache

from console.graph import Graph, NodeDetails, node_details, read_graph
from console.shown import with_query
from console.visit import Visit

MOST_KEPT_BYTES = 2 << 20
"""Size of the documents whose graphs are cached. Laying out 2,000 nodes takes 0.4 s, and versions never change."""

MOST_LISTED = 300
"""With more nodes, the list is shown only on request. For 2,000 nodes, it is 10,000 of the page's 26,000 elements."""

_kept: LRUCache[bytes, tuple[Graph, int]] = LRUCache(MOST_KEPT_BYTES, getsizeof=lambda entry: entry[1])


@dataclass(frozen=True, slots=True)
class Drawn:
    graph: Graph
    selected: str
    details: NodeDetails | None
    node_url: Callable[[str], str]
    close_url: str
    list_url: str
    """URL of the page with the list of nodes. Empty if the page has the list."""


async def draw(visit: Visit, flow: bytes, flow_ui: bytes) -> Drawn:
    """The graph of a flow and its layout."""
    selected = visit.request.query.get("node", "")
    graph = await _graph_of(flow, flow_ui)
    path, query = visit.request.path, visit.request.query
    is_long = len(graph.nodes) > MOST_LISTED
    return Drawn(
        graph,
        selected,
        node_details(graph, selected) if selected else None,
        node_address(path, query),
        with_query(path, query, node=None),
        with_query(path, query, list="yes") + "#graph-list" if is_long and query.get("list") != "yes" else "",
    )


def node_address(path: str, query: Mapping[str, str]) -> Callable[[str], str]:
    """Makes the URLs that select a node. It must be fast: a large graph has thousands."""
    start = with_query(path, query, node=None)
    start += "&node=" if "?" in start else "?node="
    return lambda ref: start + quote_plus(ref)


async def _graph_of(flow: bytes, flow_ui: bytes) -> Graph:
    key = hashlib.sha256(b"%d " % len(flow) + flow + flow_ui).digest()
    found = _kept.get(key)
    if found is not None:
        return found[0]
    graph = await asyncio.to_thread(read_graph, flow, flow_ui)
    size = len(flow) + len(flow_ui)
    if size <= MOST_KEPT_BYTES:
        _kept[key] = graph, size
    return graph
