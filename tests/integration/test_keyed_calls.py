"""Each call that reads Idempotency-Key, as the OpenAPI document says, happens once."""

import asyncio
import json
from typing import Any

import pytest

from tests.support.deployments import unknown
from tests.support.stack import FLOW, FLOW_UI, Stack
from tests.support.waiting import eventually
from tests.support.workflows import flow_of

pytestmark = pytest.mark.slow


DESCRIBING = "ETag", "Content-Type", "Cache-Control"
KEY = {"Idempotency-Key": "once"}
OTHER = {"description": "another", "reason": "another", "label": "another", "expires_at": "2999-01-01T00:00:00Z"}
OTHER |= {"expected_version_id": unknown()}
"""Each call takes one of these."""
HELD = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'idempotency_keys'::regclass"
CONFIG = """
nodes: {a: {type: dynamiq.nodes.utils.Input}}
flows: {f: {nodes: [a]}}
workflows: {w: {flow: f}}
"""


def method_of(name: str) -> str:
    return "PUT" if name == "SetLabel" else "POST"


async def keyed_calls(stack: Stack) -> dict[str, tuple[str, dict[str, Any]]]:
    """The path and body of each such call, by operation. Each call acts on its own objects."""
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
        "SetLabel": (f"/v1/workflows/{workflow['id']}/labels/a", {"workflow_version_id": versions[0]["id"]}),
        "CreateApp": ("/v1/apps", {**new, **of}),
        "DeployApp": (f"/v1/apps/{app['id']}/deploy", of),
        "PromoteApp": (f"/v1/apps/{app['id']}/promote", {}),
        "RollbackApp": (f"/v1/apps/{other['id']}/rollback", {}),
        "CreateAccessKey": ("/v1/access-keys", {"project_id": staged["project_id"], "name": "new"}),
        "CreateRuntime": ("/v1/runtimes", {"version": unknown(), "label": "new"}),
    }


async def test_each_call_that_reads_an_idempotency_key_happens_once_under_it(stack: Stack):
    document = (await stack.rest("GET", "/openapi.json")).body
    operations = [call for calls in document["paths"].values() for call in calls.values()]
    documented = {
        call["operationId"]: next(iter(call["responses"].values()))["headers"]
        for call in operations
        if {"$ref": "#/components/parameters/Idempotency-Key"} in call.get("parameters", [])
    }
    calls = await keyed_calls(stack)
    assert calls.keys() == documented.keys()

    for name, (path, body) in calls.items():
        first = await stack.rest(method_of(name), path, body, token="operator", headers=KEY)
        rows = await stack.row_counts()
        again = await stack.rest(method_of(name), path, body, token="operator", headers=KEY)

        assert first.status in (200, 201), (name, first.content)
        assert await stack.row_counts() == rows, name
        if name == "CreateAccessKey":
            assert (again.status, again.error["details"]["reason"]) == (409, "ACCESS_KEY_EXISTS")
            continue
        assert (again.status, again.content) == (first.status, first.content), name
        assert again.headers.get("Idempotent-Replayed") == "true", name
        assert {key: again.headers.get(key) for key in DESCRIBING} == {
            key: first.headers.get(key) for key in DESCRIBING
        }, name
        assert ("ETag" in first.headers) == ("ETag" in documented[name]), name


async def test_each_call_that_reads_an_idempotency_key_refuses_it_with_another_body(stack: Stack):
    for name, (path, body) in (await keyed_calls(stack)).items():
        first = await stack.rest(method_of(name), path, body, token="operator", headers=KEY)
        rows = await stack.row_counts()
        other = await stack.rest(method_of(name), path, body | OTHER, token="operator", headers=KEY)

        assert first.status in (200, 201), (name, first.content)
        assert (other.status, other.error["details"]["reason"]) == (409, "IDEMPOTENCY_KEY_REUSED"), name
        assert await stack.row_counts() == rows, name


async def test_each_call_that_reads_an_idempotency_key_tells_a_repeat_to_wait_for_the_first(stack: Stack):
    for name, (path, body) in (await keyed_calls(stack)).items():
        service = "workflow" if path.startswith("/v1/workflows") else "deploy"
        async with stack.database("admin", service) as admin, admin.transaction():
            await admin.execute("LOCK TABLE idempotency_keys IN EXCLUSIVE MODE")
            first = asyncio.create_task(stack.rest(method_of(name), path, body, token="operator", headers=KEY))
            await eventually(lambda admin=admin: admin.fetchval(HELD))
            second = await stack.rest(method_of(name), path, body, token="operator", headers=KEY)

        assert (second.status, second.error["details"]["reason"]) == (409, "REQUEST_IN_PROGRESS"), name
        assert (await first).status in (200, 201), name
