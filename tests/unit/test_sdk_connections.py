"""Connections in an export: under which id they stand, and that no secret is among what stands there."""

import io
import json
import zipfile

import pytest
import yaml

from workflow_service.errors import InvalidFlow
from workflow_service.sdk import catalogue
from workflow_service.sdk.export import export_config, export_zip

OPENAI = "dynamiq.connections.OpenAI"
LLM = "dynamiq.nodes.llms.OpenAI"
CANARY = "sk-canary-0123456789"
CLASSES = json.loads((catalogue.resources.files("workflow_service.sdk") / "catalogue.json").read_bytes())["connections"]
SECRETS = [
    CANARY,
    f"https://user:{CANARY}@host.example/{CANARY}?token={CANARY}#{CANARY}",
    {"Authorization": f"Bearer {CANARY}", CANARY: [CANARY, {CANARY: CANARY}]},
    [CANARY, {"deep": CANARY}],
    {"$env": "SOME_KEY", "default": CANARY},
    {"type": OPENAI, "api_key": CANARY},
]


def node(name: str = "a", kind: str = LLM, **fields) -> dict:
    return {"id": name, "type": kind, **fields}


def config_of(*nodes: dict, **flow) -> dict:
    return yaml.safe_load(export_config({"nodes": list(nodes), **flow})[0])


def connection_of(connection: dict) -> dict:
    (exported,) = config_of(node(connection=connection))["connections"].values()
    return exported


def problems_of(*nodes: dict) -> dict[str, str]:
    with pytest.raises(InvalidFlow) as caught:
        export_config({"nodes": list(nodes)})
    return dict(caught.value.fields)


@pytest.mark.parametrize("secret", SECRETS, ids=["text", "url", "headers", "list", "default", "connection"])
@pytest.mark.parametrize(
    "kind", [*CLASSES, "my.own.Connection", "my.connections.Own", "dynamiq.connections.FromTheFuture"]
)
def test_no_field_of_any_class_leaks(kind, secret):
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

    archive, warnings = export_zip(flow)

    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        assert not any(CANARY in file.read(name).decode() for name in file.namelist())
    assert CANARY not in repr(warnings)


@pytest.mark.parametrize("connection", [{"api_key": CANARY}, {"type": CANARY, "api_key": CANARY}, [CANARY], 5])
def test_a_connection_without_a_class_is_named_and_not_shown(connection):
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
def test_a_field_is_kept_when_it_says_no_more_than_its_class(connection, exported):
    assert connection_of(connection) == {"type": connection["type"], **exported}


def test_an_id_gets_the_class_that_the_node_declares():
    config = config_of(node(connection="7c9e"), node("b", llm=node("l", connection="7c9e")))

    assert config["connections"] == {"7c9e": {"type": OPENAI, "api_key": '${oc.env:OPENAI_API_KEY,""}'}}
    assert config["nodes"]["a"]["connection"] == config["nodes"]["b"]["llm"]["connection"] == "7c9e"


def test_of_several_classes_the_first_is_taken_and_a_comment_names_the_others():
    text, warnings = export_config({"nodes": [node(kind="dynamiq.nodes.detectors.PIIDetector", connection="c")]})

    assert text.startswith(
        "connections:\n  # or dynamiq.connections.Lakera\n  c:\n    type: dynamiq.connections.HuggingFace\n"
    )
    assert "flow.nodes[0].connection" in {warning.path for warning in warnings}


def test_an_id_gets_a_class_that_all_its_nodes_accept():
    both = node(kind="dynamiq.nodes.audio.WhisperSTT", connection="c"), node("b", connection="c")

    assert config_of(*both)["connections"]["c"]["type"] == OPENAI
    assert list(problems_of(node(connection="c"), node("b", "dynamiq.nodes.llms.Groq", connection="c"))) == [
        "flow.nodes[0].connection"
    ]


def test_an_id_on_a_node_of_no_known_type_is_named():
    assert list(problems_of(node(kind="x.Y", connection="c"))) == ["flow.nodes[0].connection"]


def test_an_id_may_be_defined_in_the_flow():
    flow = {"connections": {"c": {"type": OPENAI, "api_key": CANARY}, "unused": {"type": OPENAI}}}

    assert config_of(node(kind="x.Y", connection="c"), **flow)["connections"] == {
        "c": {"type": OPENAI, "api_key": '${oc.env:OPENAI_API_KEY,""}'}
    }


def test_inline_connections_that_export_alike_share_an_id():
    def inline(name: str, **fields) -> dict:
        return node(name, connection={"type": OPENAI, **fields})

    config = config_of(inline("a", api_key="x"), inline("b", api_key="y"), inline("c"), node("d", connection="openai"))

    assert [config["nodes"][name]["connection"] for name in "abcd"] == ["openai-2", "openai-2", "openai-3", "openai"]
    assert list(config["connections"]) == ["openai-2", "openai-3", "openai"]


def test_what_is_called_connection_in_a_schema_is_left_alone():
    schema = {"properties": {"connection": {"type": "string"}, "connections": {"a": {"type": "object"}}}}

    assert config_of(node(schema=schema, response_format=schema))["nodes"]["a"] == {
        "type": LLM,
        "schema": schema,
        "response_format": schema,
    }


def test_the_backend_of_a_memory_holds_a_connection_too():
    backend = {"type": "dynamiq.memory.backends.Qdrant", "connection": {"type": "dynamiq.connections.Qdrant"}}

    config = config_of(node(memory={"backend": backend}), node("b", memory={"backend": {**backend, "connection": "q"}}))

    assert config["connections"].keys() == {"qdrant", "q"}
    assert config["nodes"]["a"]["memory"]["backend"]["connection"] == "qdrant"


@pytest.mark.parametrize(("kind", "name"), [("prompt_injection", "HuggingFace"), ("llama_guard", "Replicate")])
def test_the_detector_of_a_hook_takes_the_connection_of_its_kind(kind, name):
    hooks = [{"type": "prompt_injection", "on": ["input"], "detector": {"kind": kind, "connection": "c"}}]

    assert config_of(node(hooks=hooks))["connections"]["c"]["type"] == f"dynamiq.connections.{name}"
