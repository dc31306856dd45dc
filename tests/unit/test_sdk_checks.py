"""Problems of a flow: errors where the SDK could not load it, warnings where it is unusual."""

import time

import pytest

from workflow_service.dynamiq_config.checks import INPUT, problems
from workflow_service.dynamiq_config.problems import MAX_NODES, MAX_PROBLEMS, MAX_VALUES

CHOICE = "dynamiq.nodes.operators.Choice"


def node(node_id: str = "a", kind: str = "x.Y", **fields) -> dict:
    return {"id": node_id, "type": kind, **fields}


def after(name: str, **more) -> list[dict]:
    return [{"node": name, **more}]


def found(severity: str, *nodes: dict) -> list[str]:
    return [problem.path for problem in problems({"nodes": list(nodes)}) if problem.severity == severity]


def test_an_ordinary_flow_has_no_problems():
    assert problems({"nodes": [node("in", INPUT), node("b", name="my-b", depends=after("in"))]}) == []


@pytest.mark.parametrize(
    ("name", "path"), [("A", ".id"), ("a b", ".id"), ("a--b", ".id"), ("-a", ".id"), ("a_b", ".id"), ("é", ".id")]
)
def test_a_node_id_that_is_not_a_slug_is_a_warning(name, path):
    assert found("warning", node("in", INPUT), node(name, depends=after("in"))) == ["flow.nodes[1]" + path]


def test_a_node_name_that_is_not_a_slug_is_a_warning():
    assert found("warning", node("in", INPUT, name="My Input")) == ["flow.nodes[0].name"]


@pytest.mark.parametrize("count", [0, 2])
def test_a_flow_without_exactly_one_input_gives_a_warning(count):
    nodes = [node(f"in{index}", INPUT) for index in range(count)]

    assert found("warning", *nodes) == ["flow.nodes"]


@pytest.mark.parametrize("fields", [{}, {"depends": []}])
def test_a_node_without_dependencies_is_a_warning(fields):
    assert found("warning", node("in", INPUT), node("b", **fields)) == ["flow.nodes[1].depends"]


@pytest.mark.parametrize("kind", ["dynamiq.nodes.tools.Nothing", "dynamiq.nodes.agents.ReActAgent"])
def test_a_type_that_the_sdk_does_not_have_is_an_error(kind):
    assert found("error", node("a", kind), node("b", tools=[{"type": kind}])) == [
        "flow.nodes[0].type",
        "flow.nodes[1].tools[0].type",
    ]


def test_a_custom_node_type_is_not_an_error():
    assert found("error", node("a", "my.nodes.Own", tools=[{"type": "my.tools.Own"}, {"type": "string"}])) == []


@pytest.mark.parametrize(
    ("dependency", "path"),
    [
        ({"option": "no"}, ".option"),
        ({"option": 1}, ".option"),
        ({"option": "yes", "trigger": "failure"}, ".option"),
        ({"trigger": "always"}, ".trigger"),
        ({"trigger": None}, ".trigger"),
        ({"node": "nobody", "option": "yes"}, ".node"),
    ],
)
def test_a_dependency_on_a_missing_node_option_or_trigger_is_an_error(dependency, path):
    nodes = node("a", CHOICE, options=[{"id": "yes"}]), node("b", depends=[{"node": "a"} | dependency])

    assert found("error", *nodes) == [f"flow.nodes[1].depends[0]{path}"]


def test_dependencies_with_an_option_a_failure_or_a_condition_are_not_errors():
    nodes = (
        node("a", CHOICE, options=[{"id": "yes"}]),
        node("b", depends=after("a", option="yes")),
        node("c", depends=after("b", option=None, trigger="failure")),
        node(
            "d",
            depends=after("c", condition={"operator": "string-equals", "variable": "$.a.output", "value": 1}),
            options="mine",
        ),
        node("e", depends=after("d", option="mine")),
    )

    assert found("error", *nodes) == []


def test_a_long_circle_of_dependencies_is_shortened_in_the_message():
    count = MAX_NODES
    nodes = [node(f"n{index}", depends=after(f"n{(index + 1) % count}")) for index in range(count)]

    began = time.monotonic()
    (circle,) = [problem for problem in problems({"nodes": nodes}) if problem.severity == "error"]

    assert time.monotonic() - began < 10
    assert circle.path == "flow.nodes"
    assert len(circle.message) < 300
    assert circle.message.count(" → ") == 10


def test_the_number_of_reported_problems_of_a_flow_is_limited():
    nodes = [node(f"n{index}", depends="x") for index in range(MAX_NODES)]

    *named, last = [problem for problem in problems({"nodes": nodes}) if problem.severity == "error"]
    assert len(named) == MAX_PROBLEMS
    assert (last.path, last.message) == ("flow", f"has {MAX_NODES - MAX_PROBLEMS:,} more errors")


def test_a_long_name_is_shortened_in_a_problems_message():
    (problem, *_) = problems({"nodes": [node(depends=after("x" * 10_000))]})

    assert len(problem.message) < 200


@pytest.mark.parametrize(
    "nodes",
    [
        [node(f"n{index}") for index in range(MAX_NODES + 1)],
        [node(values=[0] * MAX_VALUES)],
        [node(f"n{index}", depends=after("n0") * index) for index in range(700)],
    ],
    ids=["nodes", "values", "edges"],
)
def test_a_flow_above_the_limits_is_refused_quickly(nodes):
    began = time.monotonic()
    (problem,) = problems({"nodes": nodes})

    assert problem.severity == "error"
    assert time.monotonic() - began < 1


def test_a_choice_with_many_branches_is_checked_quickly():
    options = [{"id": f"o{index}"} for index in range(MAX_NODES - 1)]
    nodes = [node("a", CHOICE, options=options)]
    nodes += [node(f"n{index}", depends=after("a", option=f"o{index}")) for index in range(MAX_NODES - 1)]

    began = time.monotonic()

    assert found("error", *nodes) == []
    assert time.monotonic() - began < 10


def test_many_nodes_with_one_impossible_connection_are_checked_quickly():
    kinds = ["dynamiq.nodes.llms.OpenAI", "dynamiq.nodes.llms.Groq"]
    nodes = [node(f"n{index}", kinds[index % 2], model="m", connection="c") for index in range(MAX_NODES)]

    began = time.monotonic()

    assert found("error", *nodes) == ["flow.nodes[0].connection"]
    assert time.monotonic() - began < 10
