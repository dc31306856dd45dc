"""The problems of a flow are warnings of its deployment and never a reason to refuse it."""

import json

import pytest

from tests.support.stack import FLOW_UI, Stack
from tests.support.waiting import eventually


async def test_problems_of_a_flow_are_warnings_of_its_deployment_and_its_plan(stack: Stack):
    flow = {"nodes": [{"id": "A b", "type": "dynamiq.nodes.utils.Output", "depends": [{"node": "nobody"}]}]}
    workflow = await stack.draft()
    body = {"flow": flow, "flow_ui": json.loads(FLOW_UI)}
    saved = await stack.ok("POST", f"/v1/workflows/{workflow['id']}/save", body)
    problems = (await stack.ok("POST", "/v1/workflows/validate", {"flow": flow}))["problems"]

    app = await stack.app(workflow["id"])
    again = await stack.deploy(app["id"], workflow["id"], workflow_version_id=saved["id"])
    plan = await stack.ok("POST", f"/v1/apps/{app['id']}/deploy/plan", {"workflow_id": workflow["id"]})

    (first,) = [row for row in await stack.ok("GET", f"/v1/apps/{app['id']}/deployments") if row["id"] != again["id"]]
    expected = [f"{problem['path']} {problem['message']}" for problem in problems]
    assert any(warning.startswith("flow.nodes[0].depends[0]") for warning in expected)
    assert first["warnings"] == again["warnings"] == plan["warnings"] == expected
    assert (first["status"], again["live"]) == ("succeeded", True)


async def test_saves_and_deploys_warn_of_secrets_first(stack: Stack):
    flow = {"nodes": [{"id": "A b", "type": "my.own.Call", "headers": {"X-Key": "canary-0123456789"}}]}
    workflow = await stack.draft()
    body = {"flow": flow, "flow_ui": json.loads(FLOW_UI)}
    path = f"/v1/workflows/{workflow['id']}"

    released = await stack.rest("POST", f"{path}/release", {**body, "name": "with-secret"})
    saved = await stack.rest("POST", f"{path}/save", body)
    app = await stack.app(workflow["id"])
    (deployment,) = await stack.ok("GET", f"/v1/apps/{app['id']}/deployments")

    for warnings in (released.body["warnings"], saved.body["warnings"], deployment["warnings"][:1]):
        (warning,) = warnings
        assert warning.startswith("flow.nodes[0].headers.X-Key is in a field for secrets")
    assert "canary" not in json.dumps(deployment["warnings"])


async def test_a_save_does_not_wait_long_for_the_search_for_secrets_in_a_large_flow(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
):
    """The search continues, and the next save has its result."""
    monkeypatch.setattr("workflow_service.servicer.base.SEARCH_SECONDS", 0.01)
    nodes = [{"id": "a", "type": "my.own.Call", "headers": {"X-Key": "canary-0123456789"}}]
    flow = {"nodes": nodes, "notes": [{} for _ in range(50_000)]}
    workflow = await stack.draft()
    body = {"flow": flow, "flow_ui": json.loads(FLOW_UI)}

    saved = await stack.rest("POST", f"/v1/workflows/{workflow['id']}/save", body)

    assert (saved.status, saved.body.get("warnings", [])) == (200, [])

    async def is_told() -> bool:
        again = await stack.rest("POST", f"/v1/workflows/{workflow['id']}/save", body)
        return any("X-Key" in warning for warning in again.body.get("warnings", []))

    await eventually(is_told, 15)
