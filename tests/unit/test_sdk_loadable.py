"""The document that a replica loads: like an export, but with all saved values."""

import json

import pytest
import yaml

from tests.support import stack
from tests.support.paths import DATA
from workflow_service.dynamiq_config.loadable import loadable_of

OPENAI = "dynamiq.connections.OpenAI"


def loaded(*nodes: dict, **flow) -> dict:
    document = loadable_of(json.dumps({"nodes": list(nodes), **flow}).encode())
    assert document is not None
    return json.loads(document)


def llm(name: str, connection: object) -> dict:
    return {"id": name, "type": "dynamiq.nodes.llms.OpenAI", "model": "m", "connection": connection}


def test_the_loadable_of_the_example_equals_its_export():
    document = loadable_of(stack.FLOW)

    assert json.loads(document) == yaml.safe_load((DATA / "config.yaml").read_text())


def test_the_same_flow_gives_the_same_loadable_bytes():
    assert loadable_of(stack.FLOW) == loadable_of(json.dumps(json.loads(stack.FLOW), indent=3).encode())


def test_a_loadable_keeps_the_values_of_an_inline_connection():
    inline = {"type": OPENAI, "id": "1", "$id": "billing", "api_key": "s3cret", "url": {"$env": "URL"}}

    connections = loaded(llm("a", inline))["connections"]

    assert connections == {"billing": {"type": OPENAI, "api_key": "s3cret", "url": "${oc.env:URL}"}}


def test_a_loadable_keeps_and_escapes_values_at_any_depth():
    http = {"type": "dynamiq.connections.Http", "url": "u", "method": "GET", "headers": {"a": "s3${x}", "b": [1]}}
    tool = {"id": "t", "type": "dynamiq.nodes.tools.HttpApiCall", "connection": http}

    connections = loaded(tool)["connections"]

    assert connections["http"]["headers"] == {"a": r"s3\${x}", "b": [1]}


def test_a_loadable_keeps_the_values_of_the_flows_connections():
    config = loaded(llm("a", "shared"), connections={"shared": {"type": OPENAI, "api_key": "s3cret"}})

    assert config["connections"] == {"shared": {"type": OPENAI, "api_key": "s3cret"}}
    assert config["nodes"]["a"]["connection"] == "shared"


def test_a_loadables_connection_known_by_id_reads_variables_without_defaults():
    connections = loaded(llm("a", "billing"))["connections"]

    assert connections["billing"] == {"type": OPENAI, "api_key": "${oc.env:OPENAI_API_KEY}"}


@pytest.mark.parametrize(
    "flow",
    [
        {"nodes": [{"id": "a", "type": "x.Y", "depends": [{"node": "b"}]}]},
        {"nodes": [{"id": "a", "type": "x.Y", "depends": 1}]},
        {"nodes": [llm("a", {"$type": "t", "$id": "1"})]},
    ],
)
def test_a_flow_that_the_sdk_cannot_load_has_no_loadable(flow):
    assert loadable_of(json.dumps(flow).encode()) is None
