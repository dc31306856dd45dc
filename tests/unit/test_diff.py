"""Two flows are compared by nodes, edges and values."""

import json

import pytest

from service_kit.errors import DocumentTooComplex
from service_kit.paths import MAX_KEY_CHARS
from workflow_service.diff import MAX_CHANGES, MISSING, Edge, ValueChange, diff_flows, parse, same


def node(node_id: str, **values):
    return {"id": node_id, "type": "a.b", **values}


def flow(*nodes, **values):
    return {"nodes": list(nodes), **values}


def test_a_diff_names_added_and_removed_nodes_with_their_type():
    found = diff_flows(flow(node("a"), node("b")), flow(node("b"), node("c")))

    assert (found.added, found.removed, found.changed) == ((("c", "a.b"),), (("a", "a.b"),), ())


def test_a_diff_names_a_changed_value_with_its_path():
    before = flow(node("a", x={"y": [{"z": 1}, {"z": 2}]}, gone=True))
    after = flow(node("a", x={"y": [{"z": 1}, {"z": 3}, 4]}, new=None))

    (change,) = diff_flows(before, after).changed

    found = {(value.path, value.before, value.after) for value in change.changes}
    assert found == {("x.y[1].z", 2, 3), ("x.y[2]", MISSING, 4), ("gone", True, MISSING), ("new", MISSING, None)}


def test_a_diff_compares_edges_separately_from_nodes():
    before = flow(node("a"), node("b", depends=[{"node": "a"}]))
    after = flow(node("a"), node("b", depends=[{"node": "a", "option": "yes"}]))

    found = diff_flows(before, after)

    assert found.changed == ()
    assert (found.edges_added, found.edges_removed) == ((Edge("a", "b", "yes"),), (Edge("a", "b", ""),))
    assert found.touched == {"b"}


def test_a_diff_ignores_the_order_of_nodes_and_edges():
    before = flow(node("a"), node("b"), node("c", depends=[{"node": "a"}, {"node": "b"}]))
    after = flow(node("c", depends=[{"node": "b"}, {"node": "a"}]), node("b"), node("a"))

    assert diff_flows(before, after) == diff_flows(before, before)


def test_a_diff_compares_other_fields_of_a_dependency_as_values():
    before = flow(node("a"), node("b", depends=[{"node": "a", "trigger": "x"}]))
    after = flow(node("a"), node("b", depends=[{"node": "a", "trigger": "y"}]))

    (change,) = diff_flows(before, after).changed

    assert [value.path for value in change.changes] == ["depends[0].trigger"]


def test_a_diff_matches_dependencies_by_node_in_any_order():
    a, b, c = {"node": "a"}, {"node": "b", "trigger": "x"}, {"node": "c", "trigger": "y"}
    other = {"node": "c", "trigger": "z"}
    nodes = [node(name) for name in "abc"]

    moved = diff_flows(flow(*nodes, node("d", depends=[a, b, c])), flow(*nodes, node("d", depends=[c, b, a])))
    (changed,) = diff_flows(flow(node("d", depends=[a, b, c])), flow(node("d", depends=[other, b]))).changed

    assert moved.changed == ()
    assert [(value.path, value.before, value.after) for value in changed.changes] == [("depends[0].trigger", "y", "z")]


def test_a_diff_with_many_changes_shows_whole_values():
    before, after = ([node(f"{n}", few=first, many=[first] * 900) for n in range(3)] for first in (1, 2))

    found = diff_flows(flow(*before, x=[1]), flow(*after, x=[2]))

    assert [len(change.changes) for change in found.changed] == [901, 2, 2]
    assert found.changed[1].changes[1] == ValueChange("many", [1] * 900, [2] * 900)
    assert sum(len(change.changes) for change in found.changed) <= MAX_CHANGES
    assert [value.path for value in found.flow] == ["x[0]"]


def test_a_diff_with_too_many_values_or_differences_is_refused(monkeypatch):
    monkeypatch.setattr("workflow_service.diff.MAX_VALUES", 100)
    monkeypatch.setattr("workflow_service.diff.MAX_DIFFERENCES", 10)

    with pytest.raises(DocumentTooComplex, match="holds more than 100 values"):
        parse(json.dumps([[]] * 100).encode())
    with pytest.raises(DocumentTooComplex, match="differs in more than 10 places"):
        diff_flows(flow(*(node(f"{n}") for n in range(6))), flow(*(node(f"new-{n}") for n in range(5))))
    assert parse(json.dumps([[]] * 98).encode())


def test_a_diff_shortens_a_long_key_in_paths():
    before, after = (flow(node("a", **{"k" * 10_000: [value] * 10})) for value in (1, 2))

    (changed,) = diff_flows(before, after).changed

    assert {len(value.path) for value in changed.changes} == {MAX_KEY_CHARS + len("…[0]")}


def test_a_diff_compares_the_flows_own_fields():
    found = diff_flows(flow(node("a"), id="1", extra={"k": 1}), flow(node("a"), id="1", extra={"k": 2}))

    assert [value.path for value in found.flow] == ["extra.k"]


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": 1}, {"a": 1.0}), (1, True), (0, False), ({"a": None}, {}), ("1", 1), ([], {}), (-0.0, 0.0)],
)
def test_a_diff_treats_values_of_different_types_as_different(one, other):
    assert not same({"x": one}, {"x": other})


@pytest.mark.parametrize("depends", [None, "a", ["a"], [{"node": 7}], {}])
def test_a_diff_ignores_malformed_dependencies_as_edges(depends):
    found = diff_flows(flow(node("a"), node("b")), flow(node("a"), node("b", depends=depends)))

    assert found.edges_added == ()
