"""Connections in an export have ids and contain no secret."""

import json

import pytest
import yaml

from workflow_service.dynamiq_config import catalogue, exporting
from workflow_service.dynamiq_config.checks import checked
from workflow_service.dynamiq_config.config import Config
from workflow_service.dynamiq_config.exporting import export_config
from workflow_service.dynamiq_config.importing import import_config
from workflow_service.dynamiq_config.interpolation import Variable, parse
from workflow_service.errors import InvalidFlow

OPENAI = "dynamiq.connections.OpenAI"
HTTP = "dynamiq.connections.Http"
LLM = "dynamiq.nodes.llms.OpenAI"
CANARY = "sk-canary-0123456789"
CLASSES = json.loads((catalogue.resources.files("workflow_service.dynamiq_config") / "catalogue.json").read_bytes())[
    "connections"
]
SECRETS = [
    CANARY,
    f"https://user:{CANARY}@host.example/{CANARY}?token={CANARY}#{CANARY}",
    {"Authorization": f"Bearer {CANARY}", CANARY: [CANARY, {CANARY: CANARY}]},
    [CANARY, {"deep": CANARY}],
    {"$env": "SOME_KEY", "default": CANARY},
    {"type": OPENAI, "api_key": CANARY},
]


def node(name: str = "a", kind: str = LLM, **fields) -> dict:
    return {"id": name, "type": kind, "model": "gpt-4o", **fields}


def config_of(*nodes: dict, **flow) -> dict:
    """The export of a flow, whether or not the SDK could load it."""
    config = Config({"nodes": list(nodes), **flow})
    return {"connections": config.connections, "nodes": config.nodes, "flows": config.flows}


def connection_of(connection: dict) -> dict:
    config = config_of(node(connection=connection), confirmed_variables=["MINE"])
    (exported,) = config["connections"].values()
    return exported


def problems_of(*nodes: dict) -> dict[str, str]:
    with pytest.raises(InvalidFlow) as caught:
        export_config({"nodes": list(nodes)})
    return dict(caught.value.fields)


@pytest.mark.parametrize("secret", SECRETS, ids=["text", "url", "headers", "list", "default", "connection"])
@pytest.mark.parametrize(
    "kind", [*CLASSES, "my.own.Connection", "my.connections.Own", "dynamiq.connections.FromTheFuture"]
)
def test_no_connection_field_of_any_class_is_exported_with_a_secret(kind, secret):
    fields = dict.fromkeys((*CLASSES.get(kind, {}), "id", "api_key", "unheard_of"), secret)
    connection = {"type": kind, **fields, CANARY: secret}
    factory = {"llm": {"type": LLM, "connection": connection}, "connections": {"c": connection}}
    nodes = [
        node("inline", connection=connection),
        node("model", "dynamiq.nodes.agents.Agent", llm=node("llm", connection=connection)),
        node("tools", "x.Y", tools=[[{"deep": node("tool", connection=connection)}]]),
        node("hook", "x.Y", hooks=[{"type": "h", "detector": {"connection": connection}}]),
        node("factory", "x.Y", agent_factory=factory),
        node(
            "inner",
            "x.Y",
            flow={"id": "f", "nodes": [node("x", connection=connection)], "extra": [{"connection": connection}]},
        ),
        node("elsewhere", "x.Y", schema={"connection": connection}, response_format=[{"connection": connection}]),
        node("named", connection="by-id"),
    ]
    flow = {"nodes": nodes, "connections": {"by-id": connection}, "checkpoint": {"backend": {"connection": connection}}}

    config, found = checked(flow)

    assert config is not None
    assert CANARY not in exporting.text_of(config)
    assert CANARY not in repr(found)


@pytest.mark.parametrize("connection", [{"api_key": CANARY}, {"type": CANARY, "api_key": CANARY}, [CANARY], 5])
def test_a_connection_without_a_class_is_refused_without_showing_it(connection):
    found = problems_of(node(llm=node("l", connection=connection)))

    assert list(found) == ["flow.nodes[0].llm.connection"]
    assert CANARY not in repr(found)


@pytest.mark.parametrize(
    ("connection", "exported"),
    [
        ({"type": OPENAI, "api_key": "sk"}, {"api_key": '${oc.env:OPENAI_API_KEY,""}'}),
        ({"type": OPENAI, "url": "https://api.openai.com/v1"}, {"url": "https://api.openai.com/v1"}),
        ({"type": OPENAI, "url": "https://mine"}, {"url": '${oc.env:OPENAI_URL,""}'}),
        ({"type": OPENAI, "api_key": {"$env": "MINE"}}, {"api_key": "${oc.env:MINE}"}),
        ({"type": OPENAI, "api_key": {"$env": "MINE", "default": "sk"}}, {"api_key": '${oc.env:MINE,""}'}),
        ({"type": OPENAI, "api_key": {"$env": "MINE", "default": None}}, {"api_key": "${oc.env:MINE,null}"}),
        ({"type": "dynamiq.connections.PostgreSQL", "port": 5433}, {"port": 5433}),
        ({"type": "dynamiq.connections.PostgreSQL", "port": "5433"}, {"port": "5433"}),
        ({"type": "dynamiq.connections.PostgreSQL", "port": "sk"}, {}),
        ({"type": "dynamiq.connections.Neo4j", "connectivity_verification_enabled": False},
         {"connectivity_verification_enabled": False}),
        ({"type": "dynamiq.connections.Http", "method": "GET", "url": "https://x", "headers": {"a": "b"}},
         {"method": "GET", "url": '${oc.env:HTTP_URL,""}'}),
        ({"type": "dynamiq.connections.Http", "method": "sk"}, {"method": '${oc.env:HTTP_METHOD,"GET"}'}),
        ({"type": "dynamiq.connections.Exa", "url": "https://api.exa.ai"}, {"url": "https://api.exa.ai"}),
        ({"type": "dynamiq.connections.Exa", "url": "https://sk"}, {}),
        ({"type": "dynamiq.connections.Snowflake", "schema": "s"}, {"schema": '${oc.env:SNOWFLAKE_SCHEMA,""}'}),
        ({"type": "dynamiq.connections.AWS", "profile": None}, {"profile": None}),
        ({"type": "dynamiq.connections.connections.xAI", "api_key": "s"}, {"api_key": '${oc.env:XAI_API_KEY,""}'}),
        ({"type": "my.own.Thing", "a": 1, "b": True, "c": "s", "d": {}, "e f": 1},
         {"a": 1, "b": True, "c": '${oc.env:THING_C,""}'}),
    ],
)  # fmt: skip
def test_an_export_keeps_only_connection_fields_that_reveal_no_more_than_the_class(connection, exported):
    assert connection_of(connection) == {"type": connection["type"], **exported}


def test_a_connection_id_gets_the_class_that_its_node_declares():
    config = config_of(node(connection="7c9e"), node("b", llm=node("l", connection="7c9e")))

    assert config["connections"] == {"7c9e": {"type": OPENAI, "api_key": '${oc.env:OPENAI_API_KEY,""}'}}
    assert config["nodes"]["a"]["connection"] == config["nodes"]["b"]["llm"]["connection"] == "7c9e"


def test_a_connection_id_gets_the_first_of_several_classes_and_a_comment_names_the_others():
    text, warnings = export_config({"nodes": [node(kind="dynamiq.nodes.detectors.PIIDetector", connection="c")]})

    assert text.startswith(
        "connections:\n  # or dynamiq.connections.Lakera\n  c:\n    type: dynamiq.connections.HuggingFace\n"
    )
    assert "flow.nodes[0].connection" in {warning.path for warning in warnings}


def test_a_connection_id_gets_a_class_that_all_its_nodes_accept():
    both = node(kind="dynamiq.nodes.audio.WhisperSTT", connection="c"), node("b", connection="c")

    assert config_of(*both)["connections"]["c"]["type"] == OPENAI
    assert list(problems_of(node(connection="c"), node("b", "dynamiq.nodes.llms.Groq", connection="c"))) == [
        "flow.nodes[0].connection"
    ]


def test_a_connection_id_on_a_node_of_unknown_type_is_refused():
    assert list(problems_of(node(kind="x.Y", connection="c"))) == ["flow.nodes[0].connection"]


def test_a_connection_id_may_be_defined_in_the_flow():
    flow = {"connections": {"c": {"type": OPENAI, "api_key": CANARY}, "unused": {"type": OPENAI}}}

    assert config_of(node(kind="x.Y", connection="c"), **flow)["connections"] == {
        "c": {"type": OPENAI, "api_key": '${oc.env:OPENAI_API_KEY,""}'}
    }


def inline(name: str, **fields) -> dict:
    return node(name, connection={"type": OPENAI, **fields})


def variables_of(config: dict) -> dict[str, dict[str, str]]:
    """The names of variables, by connection and field."""
    return {
        name: {key: Variable.of(parse(text)[0].value()).name for key, text in body.items() if "${" in str(text)}
        for name, body in config["connections"].items()
    }


def test_inline_connections_are_merged_only_when_their_values_are_the_same():
    nodes = inline("a", api_key="x"), inline("b", api_key="x", id="i"), inline("c", api_key="y"), inline("d")

    config = config_of(*nodes, node("e", connection="openai"))

    found = [config["nodes"][name]["connection"] for name in "abcde"]
    assert found == ["openai-2", "openai-2", "openai-3", "openai-4", "openai"]
    assert variables_of(config) == {
        "openai-2": {"api_key": "OPENAI_2_API_KEY"},
        "openai-3": {"api_key": "OPENAI_3_API_KEY"},
        "openai-4": {},
        "openai": {"api_key": "OPENAI_API_KEY"},
    }


def test_inline_connections_that_differ_in_a_value_left_out_are_not_merged():
    http = {"type": HTTP, "method": "GET", "url": "https://x"}

    config = config_of(node(connection={**http, "headers": {"a": "1"}}), node("b", connection={**http, "headers": {}}))

    assert variables_of(config) == {"http": {"url": "HTTP_URL"}, "http-2": {"url": "HTTP_URL"}}


def test_connections_with_the_same_value_share_the_variable_of_their_class():
    config = config_of(inline("a", api_key="x", url="https://a"), inline("b", api_key="x", url="https://b"))

    assert variables_of(config) == {
        "openai": {"api_key": "OPENAI_API_KEY", "url": "OPENAI_URL"},
        "openai-2": {"api_key": "OPENAI_API_KEY", "url": "OPENAI_2_URL"},
    }


@pytest.mark.parametrize(
    ("one", "other", "names"),
    [
        ("orders", "billing", ("ORDERS_URL", "BILLING_URL")),
        ("a-b", "a_b", ("A_B_URL", "A_B_URL_2")),
        ("7c9e-01", "http", ("HTTP_7C9E_01_URL", "HTTP_URL")),
        ("客服", "助手", ("HTTP_URL", "HTTP_URL_2")),
        ("x" * 100, "x" * 101, (f"{'X' * 64}_URL", f"{'X' * 64}_URL_2")),
    ],
)
def test_a_variable_with_several_values_is_split_and_named_after_each_connection(one, other, names):
    connections = {name: {"type": HTTP, "method": "GET", "url": f"https://{name}.example"} for name in (one, other)}

    config = config_of(node(kind="x.Y", connection=one), node("b", "x.Y", connection=other), connections=connections)

    assert tuple(found["url"] for found in variables_of(config).values()) == names


def test_each_connection_known_by_id_only_has_its_own_variable():
    config = config_of(node(connection="main"), node("b", connection="spare"), node("c", connection="main"))

    assert variables_of(config) == {"main": {"api_key": "MAIN_API_KEY"}, "spare": {"api_key": "SPARE_API_KEY"}}


def test_a_variable_that_a_connection_names_is_not_used_for_another_value():
    named = {"$env": "OPENAI_API_KEY", "default": ""}

    config = config_of(inline("a", api_key="x"), inline("b", api_key=named), inline("c", api_key=named, url="u"))

    assert variables_of(config) == {
        "openai": {"api_key": "OPENAI_API_KEY_2"},
        "openai-2": {"api_key": "OPENAI_API_KEY"},
        "openai-3": {"api_key": "OPENAI_API_KEY", "url": "OPENAI_URL"},
    }


def test_a_connection_in_an_undeclared_field_has_its_own_variable():
    def elsewhere(key: str) -> dict:
        return {"connection": {"type": OPENAI, "api_key": key}}

    text, _ = export_config({"nodes": [inline("a", api_key="x"), node("b", "x.Y", schema=elsewhere("y"))]})

    assert text.count("OPENAI_API_KEY,") == 1
    assert text.count("CONNECTION_API_KEY,") == 1


CONFIG = """
connections:
  orders: {type: dynamiq.connections.Http, method: GET, url: https://orders.example.test/v1}
  billing: {type: dynamiq.connections.Http, method: GET, url: https://billing.example.test/v1}
nodes:
  input: {type: dynamiq.nodes.utils.Input, name: input}
  o: {type: dynamiq.nodes.tools.HttpApiCall, name: o, connection: orders, depends: [{node: input}]}
  b: {type: dynamiq.nodes.tools.HttpApiCall, name: b, connection: billing, depends: [{node: input}]}
  one: {type: dynamiq.nodes.llms.OpenAI, name: one, model: gpt-4o, connection: one, depends: [{node: input}]}
  two: {type: dynamiq.nodes.llms.OpenAI, name: two, model: gpt-4o, connection: two, depends: [{node: input}]}
  pii: {type: dynamiq.nodes.detectors.PIIDetector, name: pii, connection: three, depends: [{node: input}]}
  pii2: {type: dynamiq.nodes.detectors.PIIDetector, name: pii2, connection: four, depends: [{node: input}]}
flows:
  f: {nodes: [input, o, b, one, two, pii, pii2]}
workflows:
  w: {flow: f}
"""
SAME_KEY = "{type: dynamiq.connections.OpenAI, api_key: '${oc.env:OPENAI_API_KEY,\"\"}'}"
TOKEN = "{type: dynamiq.connections.HuggingFace, api_key: '${oc.env:HUGGINGFACE_API_KEY,\"\"}'}"


@pytest.mark.parametrize("detectors", ["by id", "inline"])
def test_an_export_with_several_connections_of_a_class_is_the_same_after_an_import(detectors):
    plain = f"\n  one: {SAME_KEY}\n  two: {SAME_KEY}\n  three: {TOKEN}\n  four: {TOKEN}\n"
    flow = json.loads(import_config(CONFIG.replace("\nnodes", f"{plain}nodes"), None, 1 << 20)[0])
    if detectors == "by id":
        for place in (5, 6):
            flow["nodes"][place]["connection"] = flow["nodes"][place]["id"]

    first, _ = export_config(flow)
    again, _ = export_config(json.loads(import_config(first, None, 1 << 20)[0]))

    assert again == first
    found = variables_of(yaml.safe_load(first))
    assert (found["orders"]["url"], found["billing"]["url"]) == ("ORDERS_URL", "BILLING_URL")
    assert found["one"] == found["two"] == {"api_key": "OPENAI_API_KEY"}  # as the file says
    assert ("PII_API_KEY" in first, first.count("# or ")) == (detectors == "by id", 2)


def test_a_schema_property_named_connection_is_exported_unchanged():
    schema = {"properties": {"connection": {"type": "string"}, "connections": {"a": {"type": "object"}}}}

    assert config_of(node(schema=schema, response_format=schema))["nodes"]["a"] == {
        "type": LLM,
        "model": "gpt-4o",
        "schema": schema,
        "response_format": schema,
    }


def test_connections_of_memory_backends_are_exported():
    backend = {"type": "dynamiq.memory.backends.Qdrant", "connection": {"type": "dynamiq.connections.Qdrant"}}

    config = config_of(node(memory={"backend": backend}), node("b", memory={"backend": {**backend, "connection": "q"}}))

    assert config["connections"].keys() == {"qdrant", "q"}
    assert config["nodes"]["a"]["memory"]["backend"]["connection"] == "qdrant"


@pytest.mark.parametrize(("kind", "name"), [("prompt_injection", "HuggingFace"), ("llama_guard", "Replicate")])
def test_the_connection_of_a_hooks_detector_gets_the_class_of_its_kind(kind, name):
    hooks = [{"type": "prompt_injection", "on": ["input"], "detector": {"kind": kind, "connection": "c"}}]

    assert config_of(node(hooks=hooks))["connections"]["c"]["type"] == f"dynamiq.connections.{name}"
