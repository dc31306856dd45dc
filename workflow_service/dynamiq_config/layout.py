"""Lays a flow out on a canvas, with a column for each step, in the format of the editor and the official client."""

from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import NAMESPACE_URL, uuid5

COLUMN, ROW, MIDDLE = 378, 120, 245.5
FIXED = ("dynamiq.nodes.utils.Input", "dynamiq.nodes.utils.Output")
CHOICE = "dynamiq.nodes.operators.Choice"
_NESTED = ("llm", "embedder", "memory")
_MAX_NESTED = 5  # maximum nesting of nodes in the layout; each level repeats its content


def lay_out(flow: dict[str, Any]) -> dict[str, Any]:
    """The `flow_ui` for a flow that passed the light check. The same flow always gives the same canvas."""
    nodes = flow["nodes"]
    ids = {node["id"]: str(uuid5(NAMESPACE_URL, f"{flow.get('id')}/{node['id']}")) for node in nodes}
    columns = _columns(nodes)
    heights, filled = Counter(columns), Counter[int]()
    drawn: list[dict[str, Any]] = []
    custom: dict[str, dict[str, Any]] = {}
    for node, column in zip(nodes, columns, strict=True):
        y = MIDDLE + (filled[column] - (heights[column] - 1) / 2) * ROW
        filled[column] += 1
        drawn.append(_node(node, ids[node["id"]], {"x": column * COLUMN, "y": y}))
        custom[ids[node["id"]]] = {**node, "id": ids[node["id"]], "name": node["id"]}
        custom |= {key: entry for key, entry in _nested(node, _MAX_NESTED) if key not in custom}
    labels = {node["id"]: _labels(node) for node in nodes}
    edges = [
        _edge(labels[name], ids[name], ids[node["id"]], option)
        for node in nodes
        for name, option in _dependencies(node)
        if name in ids
    ]
    return {"nodes": drawn, "edges": edges, "custom_node_data": custom}


def _dependencies(node: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    depends = node.get("depends")
    for dependency in depends if isinstance(depends, list) else []:
        if isinstance(dependency, dict) and isinstance(name := dependency.get("node"), str):
            yield name, dependency.get("option")


def _columns(nodes: list[dict[str, Any]]) -> list[int]:
    """The longest path to each node, in steps. Nodes in a cycle come last."""
    index = {node["id"]: position for position, node in enumerate(nodes)}
    after: list[list[int]] = [[] for _ in nodes]
    waiting = [0] * len(nodes)
    for position, node in enumerate(nodes):
        for name, _ in _dependencies(node):
            if name in index:
                after[index[name]].append(position)
                waiting[position] += 1
    columns = [0] * len(nodes)
    ready = [position for position, count in enumerate(waiting) if not count]
    for position in ready:
        for following in after[position]:
            columns[following] = max(columns[following], columns[position] + 1)
            waiting[following] -= 1
            if not waiting[following]:
                ready.append(following)
    last = max((columns[position] for position in ready), default=-1) + 1
    return [last if waiting[position] else column for position, column in enumerate(columns)]


def _node(node: dict[str, Any], canvas_id: str, position: dict[str, float]) -> dict[str, Any]:
    name, kind = node["id"], node["type"]
    label = str(node.get("name") or name).replace("-", " ").title()
    return {
        "id": canvas_id,
        "data": {
            "metadata": {"id": canvas_id, "name": name, "type": kind, "depends": []},
            "metadata_ui": {"title": name, "position": position},
            "custom_content": {"key": None, "ref": None, "type": "div", "owner": None, "props": {"children": label}},
        },
        "desc": f"{name} Node",
        "type": kind,
        "title": name,
        "width": 150,
        "height": 60,
        "dragging": False,
        "position": position,
        "selected": False,
        "deletable": kind not in FIXED,
        "node_name": name,
        "selectable": True,
        "position_absolute": position,
    }


def _labels(node: dict[str, Any]) -> dict[str, str]:
    """Labels of the branches of a Choice, by the option's id."""
    options = node.get("options") if node["type"] == CHOICE else None
    found = (option for option in options if isinstance(option, dict)) if isinstance(options, list) else ()
    return {o["id"]: str(o.get("name") or o["id"]) for o in found if isinstance(o.get("id"), str)}


def _edge(labels: dict[str, str], source_id: str, target_id: str, option: Any) -> dict[str, Any]:
    """The edge of a branch starts at the handle of its option, any other edge at the handle of its node."""
    label = labels.get(option) if isinstance(option, str) else None
    handle = option if label is not None else "source"
    return {
        "id": f"reactflow__edge-{source_id}{handle}-{target_id}target",
        "type": "smoothstep",
        "label": label,
        "style": {"stroke": "#96A1B8", "opacity": 1, "stroke_width": 2},
        "source": source_id,
        "target": target_id,
        "animated": True,
        "marker_end": {"type": "arrow", "color": "#96A1B8", "opacity": 1},
        "source_handle": handle,
        "target_handle": "target",
        "is_choice_option": label is not None,
    }


def _nested(node: dict[str, Any], levels: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Maps the ids of nodes inside a node to these nodes. The canvas does not show them."""
    tools = node.get("tools")
    for child in (*(tools if isinstance(tools, list) else ()), *(node.get(key) for key in _NESTED)):
        if levels and isinstance(child, dict) and isinstance(child.get("id"), str):
            yield child["id"], child
            yield from _nested(child, levels - 1)
