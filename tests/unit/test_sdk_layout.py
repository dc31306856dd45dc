"""The canvas of an imported flow, in the form of the editor's own."""

import json

from tests.support import stack
from workflow_service.dynamiq_config.layout import COLUMN, MIDDLE, ROW, lay_out

CHOICE = "dynamiq.nodes.operators.Choice"


def node(node_id: str, *after: str, kind: str = "x.Y", **fields) -> dict:
    return {"id": node_id, "type": kind, "depends": [{"node": name} for name in after], **fields}


def places(*nodes: dict) -> dict[str, tuple[int, float]]:
    canvas = lay_out({"id": "f", "nodes": list(nodes)})
    return {n["title"]: (n["position"]["x"] // COLUMN, (n["position"]["y"] - MIDDLE) / ROW) for n in canvas["nodes"]}


def shape(value: object) -> object:
    """The keys and kinds of a value."""
    if isinstance(value, dict):
        return {key: shape(child) for key, child in value.items()}
    return [shape(child) for child in value[:1]] if isinstance(value, list) else type(value).__name__


def test_the_generated_canvas_has_the_fields_of_the_editors_canvas():
    editor, ours = json.loads(stack.FLOW_UI), lay_out(json.loads(stack.FLOW))

    assert [n["position"] for n in ours["nodes"]] == [n["position"] for n in editor["nodes"]]
    for part in ("nodes", "edges"):
        assert shape(json.loads(json.dumps(ours[part]))[1:]) == shape(editor[part][1:])
    assert list(ours["custom_node_data"]) == [n["id"] for n in ours["nodes"]]
    ids = {n["id"]: n["title"] for n in ours["nodes"]}
    assert [(ids[e["source"]], ids[e["target"]]) for e in ours["edges"]] == [
        ("input", "compute"),
        ("compute", "label"),
        ("label", "output"),
    ]


def test_the_same_flow_gives_the_same_canvas():
    assert lay_out(json.loads(stack.FLOW)) == lay_out(json.loads(stack.FLOW))


def test_the_generated_canvas_places_a_node_after_its_dependencies():
    assert places(node("a"), node("b", "a"), node("c", "a"), node("d", "b", "c", "a")) == {
        "a": (0, 0),
        "b": (1, -0.5),
        "c": (1, 0.5),
        "d": (2, 0),
    }


def test_the_generated_canvas_places_nodes_in_a_circle_last():
    assert places(node("a"), node("b", "a", "c"), node("c", "b"), node("d", "nobody"))["b"][0] == 1


def test_an_edge_of_the_generated_canvas_leaves_through_its_option():
    choice = node("a", kind=CHOICE, options=[{"id": "yes", "name": "Yes"}])
    canvas = lay_out({"nodes": [choice, {**node("b"), "depends": [{"node": "a", "option": "yes"}]}]})

    (edge,) = canvas["edges"]
    assert (edge["source_handle"], edge["label"], edge["is_choice_option"]) == ("yes", "Yes", True)


def test_the_generated_canvas_lists_nodes_inside_nodes_by_their_ids():
    inner = {"id": "inner", "type": "x.Y"}
    agent = node("a", llm={"id": "l", "type": "x.L"}, tools=[{"id": "t", "type": "x.T", "llm": inner}, {"type": "x.T"}])

    assert list(lay_out({"nodes": [agent]})["custom_node_data"])[1:] == ["t", "inner", "l"]


def test_a_flow_with_malformed_values_gets_a_canvas():
    odd = [node("a", kind=CHOICE, options="x"), {"id": "b", "type": "x.Y", "depends": "a", "tools": 1, "name": 5}]
    odd.append({"id": "c", "type": "x.Y", "depends": [1, {}, {"node": 1}, {"node": "a", "option": []}]})

    assert len(lay_out({"nodes": odd})["edges"]) == 1
