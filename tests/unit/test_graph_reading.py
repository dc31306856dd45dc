"""A version's flow is read as a graph, with a complete, partial or hostile canvas."""

import copy
import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.graph import Graph, node_details, read_graph
from console.graph.model import Node
from tests.support.paths import ROOT
from workflow_service.dynamiq_config.importing import import_config

EXAMPLES = ROOT / "flowpin_cli"
CONFIGS = sorted((ROOT / "tests/data/configs").glob("*.yaml"))
SEVERAL = {"dag_pinecone": "retrieval-workflow"}
"""The workflow to use from a file with several."""
HOSTILE: list[Any] = [
    None, True, 0, -1, 1e308, -1e308, 10**400, "", "x" * 10_000, "\u202e<script>alert(1)</script>\0",
    [], {}, [[]], [None],
    {"x": "1", "y": 2}, {"x": 1e300, "y": -1e300}, {"node": None}, {"id": 3}, {"id": []}, {"text": "<b>"}, "\ud800",
]  # fmt: skip


def draw(nodes: list[Any], canvas: Any = None, **flow: Any) -> Graph:
    return read_graph(
        json.dumps({**flow, "nodes": nodes}).encode(), None if canvas is None else json.dumps(canvas).encode()
    )


def node(node_id: str, *depends: Any, kind: str = "dynamiq.nodes.tools.Python", **more: Any) -> dict[str, Any]:
    waits = [{"node": name} if isinstance(name, str) else name for name in depends]
    return {"id": node_id, "type": kind, "depends": waits, **more}


def placed(node_id: str, x: Any, y: Any, **more: Any) -> dict[str, Any]:
    return {"id": f"canvas-{node_id}", "node_name": node_id, "position": {"x": x, "y": y}, **more}


def by_id(graph: Graph) -> dict[str, Node]:
    return {found.id: found for found in graph.nodes}


def numbers(graph: Graph) -> Iterator[float]:
    yield from graph.box
    for item in (*graph.nodes, *graph.notes, *graph.frames):
        yield from item.box
    for edge in graph.edges:
        yield from edge.label_at


def overlapping(graph: Graph) -> list[tuple[str, str]]:
    boxes = sorted((found.box, found.id) for found in graph.nodes)
    return [
        (one, other)
        for index, (box, one) in enumerate(boxes)
        for after, other in boxes[index + 1 :]
        if after.x < box.x + box.width and after.y < box.y + box.height and box.y < after.y + after.height
    ]


def test_the_example_is_drawn_as_its_canvas_places_it():
    graph = read_graph(*((EXAMPLES / name).read_bytes() for name in ("example_flow.json", "example_flow_ui.json")))

    assert [(found.id, found.kind, found.family) for found in graph.nodes] == [
        ("input", "Input", "input"),
        ("compute", "Expression", "code"),
        ("label", "Python", "code"),
        ("output", "Output", "output"),
    ]
    assert [found.box.x for found in graph.nodes] == [0, 378, 756, 1134]
    assert [(edge.source, edge.target) for edge in graph.edges] == [
        ("input", "compute"),
        ("compute", "label"),
        ("label", "output"),
    ]
    assert graph.has_positions
    assert graph.left_out == ()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_each_sample_config_is_drawn_completely_with_and_without_its_canvas(path: Path):
    flow, flow_ui, _ = import_config(path.read_text(), SEVERAL.get(path.stem), 1 << 24)

    drawn = read_graph(flow, flow_ui), read_graph(flow, None)

    ids = [found["id"] for found in json.loads(flow)["nodes"]]
    for graph in drawn:
        assert [found.id for found in graph.nodes] == ids
        assert overlapping(graph) == []
        assert graph.left_out == ()
    assert [graph.has_positions for graph in drawn] == [True, False]
    assert [len(graph.edges) for graph in drawn] == 2 * [
        sum(len(n.get("depends") or ()) for n in json.loads(flow)["nodes"])
    ]


def test_an_edge_of_a_branch_is_labeled_with_its_option():
    options = [{"id": "a", "name": "Refund"}, {"id": "b", "name": None}]

    graph = draw([
        node("which", kind="dynamiq.nodes.operators.Choice", options=options),
        node("one", {"node": "which", "option": "a"}),
        node("other", {"node": "which", "option": "b"}),
        node("third", {"node": "which", "option": "gone"}),
        node("plain", "which"),
    ])  # fmt: skip

    assert [edge.label for edge in graph.edges] == ["Refund", "b", "gone", ""]


def test_edges_leave_a_choice_in_the_order_of_their_targets():
    options = [{"id": name, "name": name} for name in "abc"]
    places = [placed("which", 0, 100), placed("a", 400, 300), placed("b", 400, 0), placed("c", 400, 150)]
    waiting = [node(name, {"node": "which", "option": name}) for name in "abc"]

    graph = draw([node("which", kind="dynamiq.nodes.operators.Choice", options=options), *waiting], {"nodes": places})

    starts = {edge.target: float(edge.path.split("C")[0].split()[1]) for edge in graph.edges}
    assert sorted(starts, key=starts.__getitem__) == ["b", "c", "a"]


def test_notes_and_groups_of_the_canvas_are_drawn():
    canvas = {
        "nodes": [
            {
                "id": "g",
                "type": "group",
                "position": {"x": 100, "y": 100},
                "width": 500,
                "height": 300,
                "data": {"label": "G"},
            },
            placed("a", 20, 40, parentId="g"),
            {"id": "n", "type": "stickyNote", "position": {"x": 5, "y": 6}, "data": {"text": "Ask Ada."}},
        ],
        "notes": [{"text": "Second", "position": {"x": 0, "y": 900}}],
    }

    graph = draw([node("a")], canvas)

    assert [(frame.name, tuple(frame.box)) for frame in graph.frames] == [("G", (100, 100, 500, 300))]
    assert [note.text for note in graph.notes] == ["Ask Ada.", "Second"]
    assert graph.nodes[0].box[:2] == (120, 140)
    assert graph.left_out == ()


def test_an_agents_node_shows_its_model_and_tools():
    llm = {"type": "dynamiq.nodes.llms.OpenAI", "name": "gpt"}
    tools = [
        {"type": "dynamiq.nodes.tools.TavilyTool"},
        {"type": "dynamiq.nodes.tools.Python", "name": "Sum"},
        "not one",
    ]

    graph = draw([node("a", kind="dynamiq.nodes.agents.Agent", llm=llm, tools=tools)])

    assert graph.nodes[0].parts == (("gpt", "llm"), ("TavilyTool", "tool"), ("Sum", "code"))


def test_nodes_without_a_position_are_drawn_below_the_others():
    graph = draw([node("a"), node("b", "a"), node("c", "b")], {"nodes": [placed("a", 10, 20), placed("b", 400, 50)]})

    nodes = by_id(graph)
    assert nodes["c"].box.y > max(nodes[name].box.y + nodes[name].box.height for name in "ab")
    assert nodes["c"].place is None
    assert graph.left_out == ("1 node without a position in the layout, drawn at the bottom.",)


def test_nodes_that_all_have_the_same_position_are_laid_out():
    graph = draw([node("a"), node("b", "a")], {"nodes": [placed("a", 0, 0), placed("b", 0, 0)]})

    assert not graph.has_positions
    assert overlapping(graph) == []


def test_the_graph_says_what_it_leaves_out():
    graph = draw(
        [node("a", "a", "gone", {"node": 3}), node("a"), {"type": "x.Y"}, "text", node("b", "a", "a")],
        {
            "nodes": [placed("a", 0, 0), placed("b", 500, 0), placed("gone", 1, 1)],
            "edges": [{"source": "canvas-b", "target": "canvas-a"}],
        },
    )

    assert [(edge.source, edge.target) for edge in graph.edges] == [("a", "a"), ("a", "b")]
    assert graph.left_out == (
        "2 nodes without an id.",
        "1 node with the id of an earlier one: a.",
        "1 dependency on nodes that the flow does not have: gone.",
        "1 dependency that cannot be read.",
        "1 item of the layout without a node in the flow: canvas-gone.",
        "1 line of the layout without an edge in the flow.",
    )


@pytest.mark.parametrize(
    ("flow", "said"),
    [
        (b"", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"[1]", "not a JSON object"),
        (b'{"nodes": ', "not a JSON object"),
        (b"\xff\xfe", "not a JSON object"),
        (b"[" * 100_000, "nested more than 200 levels"),
        (b'{"nodes": [' + b" " * (5 << 20) + b"]}", "larger than 4 MiB"),
        (b'{"nodes": 3}', "no list of nodes"),
    ],
)
def test_an_unreadable_flow_is_an_empty_graph_with_a_reason(flow: bytes, said: str):
    graph = read_graph(flow, flow)

    assert graph.nodes == ()
    assert any(said in sentence for sentence in graph.left_out)
    assert all(map(math.isfinite, numbers(graph)))


@pytest.mark.parametrize("place", ["NaN", "Infinity", "1e400", "1e12", "true", '"1"', "null", "{}"])
def test_an_invalid_position_is_ignored_and_the_graph_laid_out(place: str):
    flow = json.dumps({"nodes": [node("a"), node("b", "a")]}).encode()
    items = (f'{{"id": "{name}", "position": {{"x": {place}, "y": 0}}, "width": {place}}}' for name in "ab")
    canvas = f'{{"nodes": [{", ".join(items)}]}}'

    graph = read_graph(flow, canvas.encode())

    assert not graph.has_positions
    assert len(graph.nodes) == 2
    assert all(math.isfinite(number) and abs(number) < 1e7 for number in numbers(graph))


@pytest.mark.parametrize("seed", range(300))
def test_reading_a_graph_accepts_hostile_values_anywhere(seed: int):
    rng = random.Random(seed)
    options = [{"id": "o", "name": "O"}]
    flow: dict[str, Any] = {
        "nodes": [
            node("a", kind="dynamiq.nodes.operators.Choice", options=options, name="A"),
            node("b", {"node": "a", "option": "o"}, llm={"type": "x.Y", "name": "n"}, tools=[{"type": "x.Z"}]),
            node("c", "b", "a"),
        ]
    }
    canvas: dict[str, Any] = {
        "nodes": [
            {"id": "g", "type": "group", "position": {"x": 1, "y": 1}, "data": {"label": "g"}},
            placed("a", 1, 2, parentId="g", measured={"width": 3}, data={"metadata": {"name": "a"}}),
            placed("b", 400, 5, position_absolute={"x": 1, "y": 1}),
            {"id": "n", "type": "note", "position": {"x": 1, "y": 1}, "data": {"text": "t"}},
        ],
        "edges": [{"source": "canvas-a", "target": "canvas-b"}],
        "notes": [{"text": "t"}],
    }
    for document in (flow, canvas):
        for _ in range(rng.randrange(4)):
            spoil(document, rng)

    graph = read_graph(json.dumps(flow).encode(), json.dumps(canvas).encode())

    assert all(math.isfinite(number) and abs(number) < 1e7 for number in numbers(graph))
    for found in graph.nodes:
        assert node_details(graph, found.ref) is not None
        "".join((found.name, found.type, found.shown_name, *(part.text for part in found.shown_parts))).encode()


def spoil(document: Any, rng: random.Random) -> None:
    """Put a hostile value at a random place."""
    holders = [document]
    for holder in holders:
        values = holder.values() if isinstance(holder, dict) else holder
        holders += [value for value in values if isinstance(value, dict | list) and value]
    holder = rng.choice(holders)
    holder[rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))] = copy.deepcopy(
        rng.choice(HOSTILE)
    )


def test_long_names_are_shortened_and_nodes_with_long_ids_are_addressed_by_number():
    graph = draw([node("a"), node("i" * 10_000, name="n" * 10_000)])

    long = graph.nodes[1]
    assert len(long.name) == 200
    assert len(long.shown_name) < 30
    assert (graph.nodes[0].ref, long.ref) == ("a", "#2")
    details = node_details(graph, "#2")
    assert details is not None
    assert details.node is long


def test_details_of_a_node_show_its_settings_and_hide_credentials():
    connection = {"type": "c.O", "api_key": "sk-1", "url": "https://example.org"}
    graph = draw(
        [node("a"), node("b", "a", max_tokens=5, connection=connection, token="${oc.env:TOKEN}"), node("c", "b")]
    )

    details = node_details(graph, "b")

    assert details is not None
    fields = {found.name: found.text for found in details.fields}
    assert fields["max_tokens"] == "5"
    assert fields["token"] == "${oc.env:TOKEN}"
    assert "sk-1" not in fields["connection"]
    assert "https://example.org" in fields["connection"]
    assert [found.id for found, _ in details.waits_for] == ["a"]
    assert [found.id for found, _ in details.followed_by] == ["c"]
    assert node_details(graph, "gone") is None


def test_the_graph_counts_nodes_and_edges_that_it_does_not_draw():
    many = [node(str(number), *map(str, range(20 if number < 1000 else 0))) for number in range(6000)]

    graph = draw(many)

    assert (len(graph.nodes), len(graph.edges)) == (5000, 10_000)
    assert any("6,000 nodes, of which 5,000" in sentence for sentence in graph.left_out)
    assert any("10,000 dependencies beyond the first 10,000" in sentence for sentence in graph.left_out)


def test_reading_a_graph_of_2000_nodes_takes_little_time():
    rng = random.Random(1)
    nodes = [node("0")] + [node(str(n), *{str(rng.randrange(max(0, n - 30), n)) for _ in "ab"}) for n in range(1, 2000)]

    began = time.process_time()
    graph = draw(nodes)
    taken = time.process_time() - began

    assert len(graph.nodes) == 2000
    assert taken < 2, "150 ms on an idle machine"
