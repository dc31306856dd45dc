"""The differences between two graphs are marked in both, and listed by value."""

import json
import time
from typing import Any

import pytest

from console.graph import Graph, mark_changes, read_graph, value_changes
from console.graph.lines import LineBudget, lines_between

TEXT = "".join(f"line {number}\n" for number in range(30))


def draw(nodes: dict[str, dict[str, Any]], places: dict[str, tuple[float, float]] | None = None, **flow: Any) -> Graph:
    listed = [{"id": node_id, "type": "dynamiq.nodes.tools.Python", **node} for node_id, node in nodes.items()]
    items = [{"id": name, "position": {"x": x, "y": y}} for name, (x, y) in (places or {}).items()]
    return read_graph(json.dumps({**flow, "nodes": listed}).encode(), json.dumps({"nodes": items}).encode())


def marks(graph: Graph) -> dict[str, tuple[str, ...]]:
    return {node.id: node.marks for node in graph.nodes}


def listed(before: Graph, after: Graph) -> list[tuple[str, str, str | None, str | None]]:
    rows = value_changes(before, after).rows
    return [(row.node.id if row.node else "", row.path, row.before, row.after) for row in rows]


def test_changed_nodes_are_marked_in_both_graphs():
    places = {"same": (0.0, 0.0), "edited": (400.0, 0.0), "moved": (800.0, 0.0), "both": (1200.0, 0.0)}
    nodes = {"same": {}, "edited": {"code": "a"}, "moved": {}, "both": {"code": "a"}}
    edited = {**nodes, "edited": {"code": "b"}, "both": {"code": "b"}, "new": {}}

    before, after = mark_changes(
        draw({**nodes, "old": {}}, {**places, "old": (0, 300)}),
        draw(edited, {**places, "moved": (800, 5), "both": (1200, 5), "new": (0, 300)}),
    )

    shared = {"same": (), "edited": ("changed",), "moved": ("moved",), "both": ("changed", "moved")}
    assert marks(before) == {**shared, "old": ("removed",)}
    assert marks(after) == {**shared, "new": ("added",)}


def test_a_changed_edge_is_marked_and_its_nodes_are_not():
    nodes: dict[str, dict[str, Any]] = {"a": {}, "b": {"depends": [{"node": "a"}]}, "c": {"depends": [{"node": "a"}]}}

    before, after = mark_changes(draw(nodes), draw({**nodes, "c": {"depends": [{"node": "b"}]}}))

    assert [(edge.source, edge.target, edge.marks) for edge in before.edges] == [
        ("a", "b", ()),
        ("a", "c", ("removed",)),
    ]
    assert [(edge.source, edge.target, edge.marks) for edge in after.edges] == [("a", "b", ()), ("b", "c", ("added",))]
    assert marks(after) == {"a": (), "b": (), "c": ()}


def test_a_node_without_a_saved_position_is_not_marked_as_moved():
    before, after = mark_changes(draw({"a": {}}), draw({"a": {}}, {"a": (900, 900)}))

    assert marks(before) == marks(after) == {"a": ()}


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (1, True), ("1", 1), (None, ""), ([], {}), (-0.0, 0.0)])
def test_values_of_different_json_types_differ_in_the_comparison(one: Any, other: Any):
    before, after = draw({"a": {"value": one}}), draw({"a": {"value": other}})

    assert marks(mark_changes(before, after)[1]) == {"a": ("changed",)}
    assert [path for _, path, _, _ in listed(before, after)] == ["value"]


def test_the_comparison_of_graphs_ignores_the_order_of_keys():
    before, after = draw({"a": {"x": {"p": 1, "q": 2}}}), draw({"a": {"x": {"q": 2, "p": 1}}})

    assert marks(mark_changes(before, after)[1]) == {"a": ()}
    assert listed(before, after) == []


def test_the_comparison_lists_each_different_value_with_its_path():
    before = draw({"a": {"llm": {"model": "x", "stop": ["p", "q"]}, "same": 1}, "gone": {}}, version=1)
    after = draw({"a": {"llm": {"model": "y", "stop": ["p"], "top": 0.5}, "same": 1}, "new": {}}, version=2)

    assert listed(before, after) == [
        ("", "version", "1", "2"),
        ("a", "llm.model", "x", "y"),
        ("a", "llm.stop[1]", "q", None),
        ("a", "llm.top", None, "0.5"),
        ("new", "", None, "dynamiq.nodes.tools.Python"),
        ("gone", "", "dynamiq.nodes.tools.Python", None),
    ]


def test_the_comparison_shows_that_credentials_changed_and_hides_them():
    before, after = draw({"a": {"api_key": "sk-1"}}), draw({"a": {"api_key": "sk-2"}})

    assert listed(before, after) == [("a", "api_key", "(hidden)", "(hidden)")]


def test_a_long_text_is_compared_line_by_line():
    before, after = draw({"a": {"code": TEXT}}), draw({"a": {"code": TEXT.replace("line 15\n", "line fifteen\n")}})

    (row,) = value_changes(before, after).rows
    assert [(line.mark, line.text) for line in row.lines] == [
        ("…", "12 equal lines"),
        (" ", "line 12"),
        (" ", "line 13"),
        (" ", "line 14"),
        ("-", "line 15"),
        ("+", "line fifteen"),
        (" ", "line 16"),
        (" ", "line 17"),
        (" ", "line 18"),
        ("…", "12 equal lines"),
    ]
    assert [(line.before, line.after) for line in row.lines if line.mark in "+- "][2:5] == [
        (15, 15),
        (16, None),
        (None, 16),
    ]


def test_the_comparison_marks_what_differs_in_a_short_text():
    before, after = draw({"a": {"role": "You help with invoices."}}), draw({"a": {"role": "You help with refunds."}})

    (row,) = value_changes(before, after).rows
    assert row.pieces == ("You help with ", "invoice", "refund", "s.")


WORST = {
    "lines that all repeat": ("a\n" * 5000 + "x", "a\n" * 5000 + "y" + "a\n"),
    "every other line repeats": (
        "".join(f"a\nx{number}\n" for number in range(2000)),
        "".join(f"a\ny{number}\n" for number in range(2000)),
    ),
    "nothing in common": ("".join(f"x{n}\n" for n in range(4000)), "".join(f"y{n}\n" for n in range(4000))),
    "the other way round": ("".join(f"{n}\n" for n in range(3000)), "".join(f"{n}\n" for n in range(3000, 0, -1))),
}


@pytest.mark.parametrize("name", WORST)
def test_comparing_lines_takes_limited_time(name: str):
    before, after = WORST[name]

    began = time.process_time()
    lines_between(before, after, LineBudget())
    taken = time.process_time() - began

    assert taken < 0.8, "100 ms on an idle machine"


def test_a_text_that_takes_too_long_to_compare_is_shown_whole_with_a_note():
    before, after = WORST["every other line repeats"]

    changes = value_changes(draw({"a": {"code": before}}), draw({"a": {"code": after}}))

    (row,) = changes.rows
    assert row.lines == ()
    assert row.before == before
    assert changes.left_out == ("Some texts are too long to be compared line by line; they are shown whole.",)


def test_a_long_value_in_the_comparison_is_shortened_with_a_note():
    before, after = draw({"a": {"code": "x" * 30_000}}), draw({"a": {"code": "y"}})

    (row,) = value_changes(before, after).rows
    assert row.before == "x" * 19_999 + "…"
    assert row.is_cut


def test_all_texts_of_a_comparison_share_one_budget_of_lines():
    nodes = {str(n): {"code": f"{n}\n" + "a\nb\n" * 150 + "c"} for n in range(100)}
    edited = {str(n): {"code": f"{n}!\n" + "b\na\n" * 150 + "d"} for n in range(100)}

    began = time.process_time()
    changes = value_changes(draw(nodes), draw(edited))
    taken = time.process_time() - began

    assert len(changes.rows) == 100
    assert "Some texts are too long" in changes.left_out[0]
    assert taken < 3, "150 ms on an idle machine"


def test_the_comparison_counts_differences_that_it_does_not_list():
    before, after = draw({"a": {"rows": [1] * 2000}}), draw({"a": {"rows": [2] * 2000}})

    changes = value_changes(before, after)

    assert len(changes.rows) == 500
    assert changes.left_out == ("More values differ than the 500 listed here.",)


def test_the_comparison_of_values_is_limited():
    before, after = draw({"a": {"rows": [1] * 200_000}}), draw({"a": {"rows": [1] * 200_000, "z": 1}})

    changes = value_changes(before, after)

    assert changes.left_out == ("Only the first 100,000 values were compared.",)
