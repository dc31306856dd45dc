"""Each call of which the OpenAPI document says that it reads Idempotency-Key happens once."""

import json
from typing import Any

from deploy_fixtures import unknown
from workflow_fixtures import flow_of

from tests.stack import FLOW, FLOW_UI, Stack

KEY = {"Idempotency-Key": "once"}
CONFIG = """
nodes: {a: {type: dynamiq.nodes.utils.Input}}
flows: {f: {nodes: [a]}}
workflows: {w: {flow: f}}
"""


async def keyed_calls(stack: Stack) -> dict[str, tuple[str, dict[str, Any]]]:
    """A path and a body of each, by operation; of what is there already, each has its own."""
    staged = {"project_id": str(stack.people.staged)}
    canvas = {"flow": json.loads(FLOW), "flow_ui": json.loads(FLOW_UI)}
    new = {"name": "new", **staged}
    draft = await stack.draft(project=stack.people.staged)
    workflow, versions = await stack.workflow(saves=2, project=stack.people.staged)
    of = {"workflow_id": workflow["id"]}
    app = await stack.app(workflow["id"], **staged, workflow_version_id=versions[0]["id"], environment="staging")
    other = await stack.app(workflow["id"], **staged, workflow_version_id=versions[0]["id"])
    await stack.deploy(other["id"], workflow["id"])
    return {
        "CreateWorkflow": ("/v1/workflows", {**new, **canvas}),
        "ImportWorkflow": ("/v1/workflows/import", {**new, "config": CONFIG}),
        "SaveWorkflow": (f"/v1/workflows/{workflow['id']}/save", {**canvas, "flow": json.loads(flow_of("saved"))}),
        "ReleaseWorkflow": (f"/v1/workflows/{draft['id']}/release", {"name": "released", **canvas}),
        "ForkWorkflow": (f"/v1/workflows/{workflow['id']}/fork", {"name": "fork"}),
        "RestoreVersion": (f"/v1/workflows/{workflow['id']}/versions/1/restore", {}),
        "CreateApp": ("/v1/apps", {**new, **of}),
        "DeployApp": (f"/v1/apps/{app['id']}/deploy", of),
        "PromoteApp": (f"/v1/apps/{app['id']}/promote", {}),
        "RollbackApp": (f"/v1/apps/{other['id']}/rollback", {}),
        "CreateRuntime": ("/v1/runtimes", {"version": unknown(), "label": "new"}),
    }


async def test_a_call_happens_once_under_a_key_when_its_contract_says_so(stack: Stack):
    document = (await stack.rest("GET", "/openapi.json")).body
    operations = [call for calls in document["paths"].values() for call in calls.values()]
    documented = {
        call["operationId"]
        for call in operations
        if {"$ref": "#/components/parameters/Idempotency-Key"} in call.get("parameters", [])
    }
    calls = await keyed_calls(stack)
    assert calls.keys() == documented

    for name, (path, body) in calls.items():
        first = await stack.rest("POST", path, body, headers=KEY)
        rows = await stack.row_counts()
        again = await stack.rest("POST", path, body, headers=KEY)

        assert first.status in (200, 201), (name, first.content)
        assert (again.status, again.content) == (first.status, first.content), name
        assert again.headers.get("Idempotent-Replayed") == "true", name
        assert await stack.row_counts() == rows, name


async def test_an_access_key_is_made_each_time_since_its_contract_says_so(stack: Stack):
    body = {"project_id": str(stack.people.project), "name": "ours"}

    first, second = [await stack.rest("POST", "/v1/access-keys", body, headers=KEY) for _ in range(2)]

    assert (first.status, second.status) == (201, 201)
    assert first.data["key"] != second.data["key"]
    assert "Idempotent-Replayed" not in second.headers
