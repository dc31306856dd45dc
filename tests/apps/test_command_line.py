"""The official command line, unchanged, invokes apps and tests flows of a real `flowpin up`."""

import json
import urllib.request
from collections.abc import Iterator
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
def up(tmp_path_factory: pytest.TempPathFactory, runtimes: Path) -> Iterator[Up]:
    up = Up(tmp_path_factory.mktemp("official") / "data", FLOWPIN_RUNTIMES=str(runtimes)).start()
    try:
        yield up.ready()
    finally:
        up.end()


@pytest.fixture(scope="module")
def dynamiq(up: Up, runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    return CommandLine(runtime / "bin" / "python", up.env, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def workflow(dynamiq: CommandLine) -> Any:
    """With one version."""
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


def test_a_flow_is_tested_before_it_is_saved(dynamiq, tmp_path):
    plain = dynamiq.done("workflow", "test", f"@{FLOW}", INPUT).json
    doubled = changed(tmp_path, "price * quantity * 2")
    wet = dynamiq.done("workflow", "test", doubled, INPUT, "--no-dry-run", "--last-node-output").json

    assert plain["output"] == {"output": {"text": "total=10.0"}, "total": 10.0}
    assert wet["output"]["total"] == 20.0


def test_a_deployed_app_is_invoked_and_answers_what_was_deployed_last(dynamiq, workflow, tmp_path):
    app = dynamiq.done("app", "deploy", "--name", "Order total", "--workflow", workflow["id"]).json["data"]
    first = dynamiq.done("app", "invoke", app["id"], INPUT)
    dynamiq.done("workflow", "save", workflow["id"], changed(tmp_path, "price * quantity * 2"))
    unmoved = dynamiq.done("app", "invoke", app["id"], json.dumps({"input": json.loads(INPUT)}))
    redeployed = dynamiq.done("app", "redeploy", app["id"], "--workflow", workflow["id"]).json["data"]
    second = dynamiq.done("app", "invoke", app["id"], INPUT)

    assert redeployed["status"] == "succeeded"
    assert first.stderr.splitlines()[-1] == f"POST {app['hostname']}"
    assert [ran.json["output"]["total"] for ran in (first, unmoved, second)] == [10.0, 10.0, 20.0]


def test_an_app_is_invoked_with_the_access_key_and_nothing_else(dynamiq, up, workflow):
    app = dynamiq.done("app", "deploy", "--name", "Keyed", "--workflow", workflow["id"]).json["data"]

    unset = dynamiq.refused("app", "invoke", app["id"], INPUT, DYNAMIQ_ACCESS_KEY=None)
    unknown = dynamiq.refused("app", "invoke", app["id"], INPUT, DYNAMIQ_ACCESS_KEY="dynamiq_acc_" + "x" * 64)
    pat = dynamiq.refused("app", "invoke", app["id"], INPUT, DYNAMIQ_ACCESS_KEY=up.env["FLOWPIN_TOKEN"])

    assert "DYNAMIQ_ACCESS_KEY is not set" in unset.error
    assert (unknown.http_error[0], pat.http_error[0]) == (401, 403)


def test_the_management_api_invokes_with_the_persons_own_token(dynamiq, up, workflow):
    app = dynamiq.done("app", "deploy", "--name", "Managed", "--workflow", workflow["id"]).json["data"]

    answer = call(up.env, "POST", f"/v1/apps/{app['id']}/invoke", {"input": json.loads(INPUT)}, seconds=30)

    assert answer["output"]["total"] in (10.0, 20.0)


def test_what_cannot_be_tested_says_why(dynamiq, tmp_path):
    unknown_type = dynamiq.refused(
        "workflow", "test", changed(tmp_path, "price", type="dynamiq.nodes.NoSuchNode"), INPUT
    )
    unwired = dynamiq.refused("workflow", "test", changed(tmp_path, "price", depends=[{"node": "nobody"}]), INPUT)
    no_object = dynamiq.refused("workflow", "test", f"@{FLOW}", "[1]")
    fails = dynamiq.refused("workflow", "test", f"@{FLOW}", '{"price": "x", "quantity": "y"}')

    statuses = [ran.http_error[0] for ran in (unknown_type, unwired, no_object, fails)]
    assert statuses == [400, 400, 400, 500]
    assert "NoSuchNode" in unknown_type.http_error[1]["message"]
    assert set(unwired.http_error[1]["details"]) == {"reason", "flow.nodes[1].depends[0].node"}
    assert set(no_object.http_error[1]["details"]) == {"reason", "input"}
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
