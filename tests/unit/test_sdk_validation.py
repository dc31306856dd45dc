"""Values that the SDK's classes refuse are errors with the field's path. tests/sdk compares with the SDK itself."""

import json

import pytest

from tests.support import sdk_samples as samples
from workflow_service.dynamiq_config import schemas
from workflow_service.dynamiq_config.checks import problems
from workflow_service.dynamiq_config.rules import RULES

PYTHON = "dynamiq.nodes.tools.Python"
AGENT = "dynamiq.nodes.agents.Agent"
HTTP = "dynamiq.nodes.tools.HttpApiCall"
OPENAI = {"type": "dynamiq.connections.OpenAI"}
LLM = {"type": "dynamiq.nodes.llms.OpenAI", "model": "gpt-4o", "connection": "c"}
GET = {"type": "dynamiq.connections.Http", "method": "GET", "url": "http://x.test"}


def found(severity: str, *nodes: dict, **flow) -> dict[str, str]:
    every = problems({"nodes": list(nodes), **flow})
    return {problem.path: problem.message for problem in every if problem.severity == severity}


def errors(*nodes: dict, **flow) -> dict[str, str]:
    return found("error", *nodes, **flow)


def node(kind: str = PYTHON, node_id: str = "a", **fields) -> dict:
    return {"id": node_id, "type": kind, **fields}


@pytest.mark.parametrize(
    ("wrong", "path", "message"),
    [
        (node(), "code", "is required"),
        (node(AGENT, name="a"), "llm", "is required"),
        (node("dynamiq.nodes.llms.OpenAI", connection="c"), "model", "is required"),
        (node("dynamiq.nodes.operators.Map"), "node", "is required"),
        (node(code=5), "code", "must be text"),
        (node(code="x", error_handling={"max_retries": "x"}), "error_handling.max_retries", "must be a whole number"),
        (node(AGENT, llm=LLM, max_loops="x"), "max_loops", "must be a whole number of at least 2"),
        (node(AGENT, llm={**LLM, "model": []}), "llm.model", "must be text"),
        (node(AGENT, llm={**LLM, "temperature": "hot"}), "llm.temperature", "must be null or a number"),
        (node(AGENT, llm=LLM, tools=[{"type": PYTHON}]), "tools[0].code", "is required"),
        (node(AGENT, llm=LLM, tools=[5]), "tools[0]", "must be a dynamiq.nodes.Node"),
        (node(AGENT, llm={"type": PYTHON, "code": "x"}), "llm", "must be a dynamiq.nodes.llms.BaseLLM"),
        (node(AGENT, llm=LLM, inference_mode="X"), "inference_mode", 'must be "DEFAULT" or "XML" or '),
        (node(AGENT, llm=LLM, hooks=[{"type": "nope"}]), "hooks[0].type", "must be a hook of the SDK"),
        (node(AGENT, llm=LLM, hooks=[{"type": "pii", "x": 1}]), "hooks[0].x", "is not a field of its class"),
        (node(HTTP, connection={**GET, "type": "dynamiq.connections.Nope"}), "connection.type", "is not a class"),
        (node(HTTP, connection=OPENAI), "connection", "must be a dynamiq.connections.Http"),
        (node(HTTP, connection={**GET, "method": "X"}), "connection.method", 'must be "GET" or "POST"'),
        (node(HTTP, connection={**GET, "headers": {"k": 1}, "params": 5}), "connection.params", "must be null or"),
        (node("dynamiq.connections.OpenAI"), "type", "is not a node type of the SDK"),
        (node(code="x", flows="x"), "flows", "must be a list of flows"),
        (node("x.Y", llm={"type": "a b.c"}), "llm.type", "must be a dotted name"),
        (node("x.Y", llm={"type": 5}), "llm.type", "must be a string"),
        (node(code="x", prompt={"messages": [{"content": 5}]}), "prompt.messages[0].content", "must be text"),
        (node("dynamiq.nodes.operators.Expression", expressions=[{"key": "1", "expression": "1"}]),
         "expressions[0].key", "must be an identifier"),
    ],
)  # fmt: skip
def test_a_value_that_an_sdk_class_refuses_is_an_error_at_its_field(wrong, path, message):
    said = errors(wrong)

    assert list(said) == [f"flow.nodes[0].{path}"]
    assert message in said[f"flow.nodes[0].{path}"]


@pytest.mark.parametrize(
    ("key", "value", "path"),
    [
        ("id", "", "id"),
        ("id", 5, "id"),
        ("name", 5, "name"),
        ("max_node_workers", "x", "max_node_workers"),
        ("checkpoint", {"enabled": []}, "checkpoint.enabled"),
        ("checkpoint", {"backend": {"type": "dynamiq.Nope"}}, "checkpoint.backend.type"),
    ],
)
def test_fields_of_a_flow_and_of_flows_inside_nodes_are_checked(key, value, path):
    inner = {"id": "inner", "nodes": [node(node_id="x", code="x")], key: value}
    sub = node("dynamiq.nodes.operators.SubWorkflow", flow=inner)

    assert list(errors(node(code="x"), **{key: value})) == [f"flow.{path}"]
    assert list(errors(sub)) == [f"flow.nodes[0].flow.{path}"]


def test_a_duplicated_dependency_is_an_error():
    said = errors(node(code="x"), node(node_id="b", code="x", depends=[{"node": "a"}, {"node": "a"}]))

    assert said == {"flow.nodes[1].depends[1]": "names 'a' again: a node waits for another once"}


@pytest.mark.parametrize(
    "fields",
    [
        {"error_handling": {"max_retries": "5", "timeout_seconds": "1.5"}},
        {"is_files_allowed": "yes"},
        {"unheard_of": {"type": "string"}},
        {"metadata": {"label": None}},
        {"type": "my.own.Node", "code": 5, "llm": {"type": "my.Llm", "model": []}},
    ],
)
def test_a_value_that_the_sdk_accepts_is_not_an_error(fields):
    assert errors(node(code="x") | fields) == {}


def test_a_variable_may_replace_the_value_of_any_field():
    for name in samples.nodes():
        base = samples.node(name)
        fields = {
            key: {"$env": "NAME"} for key in samples.own_fields(name) if key not in ("connection", "prompt", "flow")
        }
        said = errors(base | fields)

        assert said == {}, name


def test_a_selector_that_names_no_node_is_a_warning():
    start = node("dynamiq.nodes.utils.Input", "in", schema={"properties": {"price": {"type": "float"}}})
    selector = {
        "gone": "$.gone.output.content",
        "quoted": "$['lost'].output",
        "either": "$.in.output.x || $.away.output.x",
        "node": "$.in.output.price",
        "input": "$.price",
        "text": "gone",
        "all": "$..x",
    }
    last = node("dynamiq.nodes.utils.Output", "out", depends=[{"node": "in"}], input_transformer={"selector": selector})

    said = found("warning", start, last)

    where = "flow.nodes[1].input_transformer.selector."
    assert list(said) == [f"{where}gone", f"{where}quoted", f"{where}either"]
    assert said[f"{where}gone"] == "reads from 'gone', which is not a node of the flow"


def test_without_an_input_schema_only_selectors_that_read_an_output_give_warnings():
    last = node(code="x", input_transformer={"selector": {"query": "$.query", "x": "$.gone.output"}})

    assert [path for path in found("warning", last) if "selector" in path] == [
        "flow.nodes[0].input_transformer.selector.x"
    ]


def test_messages_about_wrong_values_do_not_contain_the_values():
    secret = "sk-canary"
    connection = {"type": "dynamiq.connections.MCPStdio", "env": {secret: [secret]}, "command": {secret: secret}}

    said = errors(node("dynamiq.nodes.tools.MCPServer", name="m", connection=connection))

    assert said
    assert secret not in json.dumps(said)


def test_the_number_of_reported_wrong_values_is_limited():
    said = errors(node(AGENT, llm=LLM, tools=[1] * 5000))

    assert len(said) <= 201


def test_deeply_nested_nodes_are_checked_completely():
    value: dict = {"type": PYTHON}
    for _ in range(95):
        value = {"type": "dynamiq.nodes.operators.Map", "node": value}

    (path,) = errors({"id": "a", **value})

    assert path.startswith("flow.nodes[0].node.node.")


def test_every_validation_rule_belongs_to_an_sdk_class():
    named = {rule for row in schemas.rows().values() for rule in row.get("rules", ())}

    assert {rule for rule in RULES if "unless" not in rule} <= named
