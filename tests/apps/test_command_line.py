"""The official command line, unchanged, invokes apps and tests flows of a real `flowpin up`."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.sdk.command_line import CommandLine
from tests.support.up_process import Up, call

pytestmark = pytest.mark.apps

FLOW = ROOT / "flowpin_cli" / "example_flow.json"
INPUT = '{"price": 2.5, "quantity": 4}'


@pytest.fixture(scope="module")
def dynamiq(up: Up, runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    return CommandLine(runtime / "bin" / "python", up.env, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def workflow(dynamiq: CommandLine) -> Any:
    """A workflow with one version."""
    created = dynamiq.done("workflow", "create", '{"name": "order-total"}').json["data"]
    dynamiq.done("workflow", "save", created["id"], f"@{FLOW}")
    return created


def changed(folder: Path, expression: str, **node: Any) -> str:
    flow = json.loads(FLOW.read_text())
    flow["nodes"][1]["expressions"][0]["expression"] = expression
    flow["nodes"][1].update(node)
    path = folder / "changed.json"
    path.write_text(json.dumps(flow))
    return f"@{path}"


@pytest.fixture(scope="module")
def app(dynamiq: CommandLine, workflow: Any) -> Any:
    """An app that serves the first version of the workflow."""
    return dynamiq.done("app", "deploy", "--name", "Order total", "--workflow", workflow["id"]).json["data"]


def test_a_flow_is_tested_before_it_is_saved(dynamiq, tmp_path):
    doubled = changed(tmp_path, "price * quantity * 2")
    ran = dynamiq.done("workflow", "test", doubled, INPUT, "--no-dry-run", "--last-node-output")

    assert ran.json["output"] == {"output": {"text": "total=20.0"}, "total": 20.0}


def test_invoking_an_app_runs_the_version_that_was_deployed_last(dynamiq, workflow, app, tmp_path):
    first = dynamiq.done("app", "invoke", app["id"], INPUT)
    dynamiq.done("workflow", "save", workflow["id"], changed(tmp_path, "price * quantity * 2"))
    redeployed = dynamiq.done("app", "redeploy", app["id"], "--workflow", workflow["id"]).json["data"]
    second = dynamiq.done("app", "invoke", app["id"], json.dumps({"input": json.loads(INPUT)}))

    assert redeployed["status"] == "succeeded"
    assert first.stderr.splitlines()[-1] == f"POST {app['hostname']}"
    assert [ran.json["output"]["total"] for ran in (first, second)] == [10.0, 20.0]


def test_an_app_is_invoked_with_an_access_key_only(dynamiq, up, app):
    unset = dynamiq.refused("app", "invoke", app["id"], INPUT, DYNAMIQ_ACCESS_KEY=None)
    pat = dynamiq.refused("app", "invoke", app["id"], INPUT, DYNAMIQ_ACCESS_KEY=up.env["FLOWPIN_TOKEN"])

    assert "DYNAMIQ_ACCESS_KEY is not set" in unset.error
    assert pat.http_error[0] == 403


def test_the_management_api_invokes_an_app_with_the_persons_own_token(up, app):
    answer = call(up.env, "POST", f"/v1/apps/{app['id']}/invoke", {"input": json.loads(INPUT)}, seconds=30)

    assert answer["output"]["total"] in (10.0, 20.0)


def test_a_flow_that_cannot_be_tested_is_refused_with_a_reason(dynamiq, tmp_path):
    unknown_type = dynamiq.refused(
        "workflow", "test", changed(tmp_path, "price", type="dynamiq.nodes.NoSuchNode"), INPUT
    )
    fails = dynamiq.refused("workflow", "test", f"@{FLOW}", '{"price": "x", "quantity": "y"}')

    assert (unknown_type.http_error[0], fails.http_error[0]) == (400, 500)
    assert "NoSuchNode" in unknown_type.http_error[1]["message"]
    assert fails.http_error[1]["details"]["node"] == "compute"


def test_a_flow_without_streaming_nodes_has_one_event(up):
    flow = json.loads(FLOW.read_text())
    version = {"input": json.loads(INPUT), "stream": True}
    body = {"name": "streamless", "project_id": up.env["FLOWPIN_PROJECT_ID"], "flow": flow, "flow_ui": {}}
    created = call(up.env, "POST", "/v1/workflows", body)["data"]
    call(up.env, "POST", f"/v1/workflows/{created['id']}/save", body)

    text = streamed(up, f"/v1/workflows/{created['id']}/versions/1/test", version)

    assert text.count("event: ") == 1
    assert text.startswith("event: completed\ndata: ")


def streamed(up: Up, path: str, body: Any) -> str:
    headers = {"Authorization": f"Bearer {up.env['FLOWPIN_TOKEN']}"}
    request = urllib.request.Request(up.env["FLOWPIN_URL"] + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        return answer.read().decode()
