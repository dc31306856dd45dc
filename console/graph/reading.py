"""Reads a version's two documents into a graph that can be drawn."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from console.graph import canvas, drawing
from console.graph.documents import Canvas, read_canvas, read_flow
from console.graph.families import family_of
from console.graph.model import Box, Edge, Frame, Graph, Node, Note, Part
from console.graph.parts import parts_of
from console.graph.places import Need, places_of
from console.graph.texts import counted, cut, name_of, named

MAX_NODES = 5_000
MAX_EDGES = 10_000
_MAX_OPTIONS = 100
_MARGIN = 40
_MAX_REF_CHARS = 200


class _Link(NamedTuple):
    source: str
    target: str
    option: str


def read_graph(flow: bytes, flow_ui: bytes | None) -> Graph:
    """Read a version's documents. Never raises: `left_out` names what cannot be drawn."""
    left_out: list[str] = []
    document = read_flow(flow, left_out)
    layout = read_canvas(flow_ui, left_out)
    found = _nodes(document, left_out)
    links = _links(found, left_out)
    items = canvas.items_of(layout, left_out)
    options = {node_id: _options(node) for node_id, node in found.items()}
    parts = {node_id: parts_of(node) for node_id, node in found.items()}
    needs = {node_id: Need(len(options[node_id]), bool(parts[node_id])) for node_id in found}
    places = places_of(needs, links, items, left_out)
    _tell_of_unknown_links(layout, places.ids, links, left_out)
    nodes = tuple(
        _node(number, node, places.boxes[node_id], places.given.get(node_id), parts[node_id])
        for number, (node_id, node) in enumerate(found.items(), 1)
    )
    edges = tuple(_edges(links, options, places.boxes, places.bends))
    notes = tuple(Note(item.text, box) for item in items if item.kind == "note" and (box := item.box(240, 120)))
    groups = ((name_of(item.text, "Group"), item.box(400, 240)) for item in items if item.kind == "group")
    frames = tuple(Frame(name, box) for name, box in groups if box)
    drawn = [*(node.box for node in nodes), *(note.box for note in notes), *(frame.box for frame in frames)]
    labels = [Box(*edge.label_at, 0, 0) for edge in edges]
    return Graph(
        nodes=nodes,
        edges=edges,
        notes=notes,
        frames=frames,
        box=drawing.around([*drawn, *labels], _MARGIN),
        settings={key: value for key, value in document.items() if key != "nodes"},
        has_positions=bool(places.given),
        left_out=tuple(left_out),
    )


def _nodes(document: Mapping[str, Any], left_out: list[str]) -> dict[str, Mapping[str, Any]]:
    listed = document.get("nodes")
    if not isinstance(listed, list):
        if document:
            left_out.append("The flow has no list of nodes.")
        return {}
    found: dict[str, Mapping[str, Any]] = {}
    without_id, repeated = 0, []
    for node in listed[:MAX_NODES]:
        node_id = node.get("id") if isinstance(node, dict) else None
        if not isinstance(node_id, str) or not node_id:
            without_id += 1
        elif node_id in found:
            repeated.append(node_id)
        else:
            found[node_id] = node
    if len(listed) > MAX_NODES:
        left_out.append(f"The flow has {len(listed):,} nodes, of which {MAX_NODES:,} are drawn.")
    if without_id:
        left_out.append(f"{counted(without_id, 'node')} without an id.")
    if repeated:
        left_out.append(f"{counted(len(repeated), 'node')} with the id of an earlier one: {named(repeated)}.")
    return found


def _links(nodes: Mapping[str, Mapping[str, Any]], left_out: list[str]) -> list[_Link]:
    found: dict[_Link, None] = {}
    unknown: list[str] = []
    unreadable = beyond = 0
    for node_id, node in nodes.items():
        depends = node.get("depends") or []
        if not isinstance(depends, list):
            unreadable += 1
            continue
        for dependency in depends:
            source = dependency.get("node") if isinstance(dependency, dict) else None
            option = (dependency.get("option") or "") if isinstance(dependency, dict) else ""
            if not isinstance(source, str) or not isinstance(option, str):
                unreadable += 1
            elif source not in nodes:
                unknown.append(source)
            elif len(found) >= MAX_EDGES:
                beyond += 1
            else:
                found[_Link(source, node_id, option)] = None
    if unknown:
        many = counted(len(unknown), "dependency")
        left_out.append(f"{many} on nodes that the flow does not have: {named(unknown)}.")
    if unreadable:
        left_out.append(f"{counted(unreadable, 'dependency')} that cannot be read.")
    if beyond:
        left_out.append(f"{counted(beyond, 'dependency')} beyond the first {MAX_EDGES:,}.")
    return list(found)


def _options(node: Mapping[str, Any]) -> dict[str, str]:
    """Names of a choice's branches, by id."""
    options = node.get("options")
    listed = options[:_MAX_OPTIONS] if isinstance(options, list) else []
    pairs = ((option.get("id"), option.get("name")) for option in listed if isinstance(option, dict))
    return {option_id: name_of(name, option_id) for option_id, name in pairs if isinstance(option_id, str)}


def _node(
    number: int, node: Mapping[str, Any], box: Box, place: tuple[float, float] | None, parts: tuple[Part, ...]
) -> Node:
    node_id, node_type = node["id"], node.get("type")
    dotted = cut(node_type, 500) if isinstance(node_type, str) else ""
    return Node(
        id=node_id,
        type=dotted,
        name=name_of(node.get("name"), node_id),
        family=family_of(dotted),
        box=box,
        settings=node,
        ref=node_id if len(node_id) <= _MAX_REF_CHARS else f"#{number}",
        place=place,
        parts=parts,
    )


def _edges(
    links: Sequence[_Link],
    options: Mapping[str, Mapping[str, str]],
    boxes: Mapping[str, Box],
    bends: Mapping[int, Sequence[drawing.Point]],
) -> Iterable[Edge]:
    leaves = _leaving(links, options, boxes)
    between = Counter((link.source, link.target) for link in links)
    drawn = Counter[tuple[str, str]]()
    for place, link in enumerate(links):
        ends = (link.source, link.target)
        drawn[ends] += 1
        along = drawn[ends] / (between[ends] + 1)
        line = drawing.line(boxes[link.source], boxes[link.target], leaves.get(place, 0.5), along, bends.get(place, ()))
        label = options[link.source].get(link.option) or name_of(link.option, "")
        yield Edge(*link, label, line.path, line.label_at)


def _leaving(
    links: Sequence[_Link], options: Mapping[str, Mapping[str, str]], boxes: Mapping[str, Box]
) -> dict[int, float]:
    """The start of each branch on its choice's side, by the index of the link, in the order of their targets."""
    branches: dict[str, list[int]] = {}
    for place, link in enumerate(links):
        if link.option in options[link.source]:
            branches.setdefault(link.source, []).append(place)
    found: dict[int, float] = {}
    for places in branches.values():
        places.sort(key=lambda place: boxes[links[place].target].y)
        found |= {place: (index + 1) / (len(places) + 1) for index, place in enumerate(places)}
    return found


def _tell_of_unknown_links(layout: Canvas, ids: Mapping[str, str], links: Sequence[_Link], left_out: list[str]) -> None:
    """Report edges that only the layout has. They are not drawn, as the flow does not run them."""
    known = {(link.source, link.target) for link in links}
    pairs = ((ids.get(str(source)), ids.get(str(target))) for source, target in canvas.links_of(layout))
    count = sum(None not in pair and pair not in known for pair in pairs)
    if count:
        left_out.append(f"{counted(count, 'line')} of the layout without an edge in the flow.")
