"""PlanRollback names the deployment that a rollback would redeploy. A rollback with its token does exactly that."""

from typing import Any

import pytest

from tests.support.deployments import history
from tests.support.stack import Answer, Stack


async def three(stack: Stack) -> tuple[Any, Any, list[Any]]:
    """A workflow, an app that had its v1, v2 and v3 live, and the deployments of the app, oldest first."""
    workflow, versions = await stack.workflow(saves=3)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    for version in versions[1:]:
        await stack.deploy(app["id"], workflow["id"], workflow_version_id=version["id"])
    return workflow, app, (await history(stack, app["id"]))[::-1]


async def plan(stack: Stack, app: Any, **options: Any) -> Any:
    return await stack.ok("POST", f"/v1/apps/{app['id']}/rollback/plan", options.pop("body", {}), **options)


async def roll_back(stack: Stack, app: Any, **body: Any) -> Answer:
    return await stack.rest("POST", f"/v1/apps/{app['id']}/rollback", body)


async def test_a_rollback_plan_names_the_source_of_the_rollback_and_changes_nothing(stack: Stack):
    _, app, deployments = await three(stack)
    await stack.ok("POST", f"/v1/deployments/{deployments[1]['id']}/health", {"health": "bad"})
    rows = await stack.row_counts()

    planned = await plan(stack, app, token="viewer")
    unchanged = await stack.row_counts()
    back = await roll_back(stack, app, plan_token=planned["plan_token"])

    assert unchanged == rows
    assert planned["source"]["id"] == deployments[0]["id"] == back.data["source_deployment_id"]
    assert planned["source"]["workflow_version"]["label"] == "v1"
    assert planned["why"] == back.body["message"]
    assert planned["changes"]["flow"] == {"before": "flow v3", "after": "flow v1", "changed": True}
    assert (planned["blockers"], back.status) == ([], 201)


async def test_a_rollback_plan_of_a_named_deployment_has_the_reasons_to_refuse_it(stack: Stack):
    _, app, deployments = await three(stack)
    bad = deployments[1]["id"]
    await stack.ok("POST", f"/v1/deployments/{bad}/health", {"health": "bad"})

    refused = await plan(stack, app, body={"deployment_id": bad})
    forced = await plan(stack, app, body={"deployment_id": bad, "force": True})
    back = await roll_back(stack, app, deployment_id=bad, force=True, plan_token=forced["plan_token"])

    assert [blocker["reason"] for blocker in refused["blockers"]] == ["VERSION_MARKED_BAD"]
    assert (refused["plan_token"], refused["source"]["id"]) == ("", bad)
    assert (forced["blockers"], back.status) == ([], 201)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "NOTHING_TO_ROLL_BACK_TO"),
        ({"environment": "moon"}, "ENVIRONMENT_NOT_FOUND"),
        ({"deployment_id": "01980000-0000-7000-8000-000000000000"}, "DEPLOYMENT_NOT_FOUND"),
    ],
)
async def test_a_rollback_plan_without_a_source_has_the_reason(stack: Stack, body: dict[str, str], reason: str):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])

    planned = await plan(stack, app, body=body)

    assert [blocker["reason"] for blocker in planned["blockers"]] == [reason]
    assert "source" not in planned


async def test_a_rollback_plan_is_outdated_when_another_deployment_is_live(stack: Stack):
    workflow, app, deployments = await three(stack)
    planned = await plan(stack, app)
    named = await plan(stack, app, body={"deployment_id": deployments[0]["id"]})
    await stack.deploy(app["id"], workflow["id"])

    answers = [
        await roll_back(stack, app, plan_token=planned["plan_token"]),
        await roll_back(stack, app, deployment_id=deployments[0]["id"], plan_token=named["plan_token"]),
    ]

    assert [(answer.status, answer.error["details"]["reason"]) for answer in answers] == [(409, "PLAN_OUTDATED")] * 2


async def test_a_rollback_plan_and_its_rollback_do_not_need_the_workflow_service(stack: Stack):
    _, app, _ = await three(stack)
    planned = await plan(stack, app)
    await stack.stop_workflow_service()

    away = await plan(stack, app)
    back = await roll_back(stack, app, plan_token=planned["plan_token"])

    assert (away["plan_token"], away["source"]) == (planned["plan_token"], planned["source"])
    assert away["warnings"]
    assert (back.status, back.data["workflow_version"]["label"]) == (201, "v2")
