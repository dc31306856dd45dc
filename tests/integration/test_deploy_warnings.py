"""A deployment carries what is wrong with its flow as warnings, and is never refused for it."""

import json

from tests.support.stack import FLOW_UI, Stack


async def test_what_validate_says_of_a_flow_stands_in_the_deployment_and_in_its_plan(stack: Stack):
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
