"""PlanDeploy shows what a deploy would do. A deploy with its token does exactly that or fails."""

import pytest

from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from tests.support.deployments import (
    SERVERLESS,
    TWO_TO_FIVE,
    add_runtime,
    app_now,
    deprecate,
    foreign_workflow,
    history,
    unknown,
)
from tests.support.stack import Stack

NEW_CONFIG = {"deployment_config": TWO_TO_FIVE}


async def plan(stack: Stack, app, body, **options):
    return await stack.ok("POST", f"/v1/apps/{app['id']}/deploy/plan", body, **options)


async def deploy(stack: Stack, app, body, token):
    return await stack.rest("POST", f"/v1/apps/{app['id']}/deploy", {**body, "plan_token": token})


async def test_a_plan_compares_with_the_live_deployment_and_changes_nothing(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    runtime = await add_runtime(stack, "0.70")
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    rows = await stack.row_counts()

    same = await plan(stack, app, {"workflow_id": workflow["id"], "workflow_version_id": versions[0]["id"]})
    other = await plan(stack, app, {"workflow_id": workflow["id"], "runtime_id": runtime, **NEW_CONFIG}, token="viewer")

    changes = other["changes"]
    assert changes["flow"] == {"before": "flow v1", "after": "flow v2", "changed": True}
    assert changes["runtime"] == {"before": "Dynamiq 0.69", "after": "Dynamiq 0.70", "changed": True}
    assert changes["config"]["changed"]
    assert '"max_replicas": 5' in changes["config"]["after"]
    assert [same["changes"][pin]["changed"] for pin in ("flow", "runtime", "config")] == [False] * 3
    assert [(one["warnings"], one["blockers"]) for one in (same, other)] == [([], [])] * 2
    assert same["plan_token"] != other["plan_token"] != ""
    assert await stack.row_counts() == rows


async def test_a_plan_of_an_environment_where_nothing_is_live_has_no_before(stack: Stack):
    workflow, _ = await stack.workflow(project=stack.people.staged)
    app = await stack.app(workflow["id"], project_id=str(stack.people.staged))

    first = await plan(stack, app, {"workflow_id": workflow["id"], "environment": "staging"})

    assert first["changes"]["flow"] == {"after": "flow v1", "changed": True}
    assert "before" not in first["changes"]["config"]


async def test_a_deploy_with_its_plan_token_succeeds(stack: Stack):
    workflow, _ = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"])
    body = {"workflow_id": workflow["id"], **NEW_CONFIG}

    token = (await plan(stack, app, body))["plan_token"]
    answer = await deploy(stack, app, body, token)

    assert (answer.status, answer.data["deployment_config"]) == (201, TWO_TO_FIVE)


async def another_deploy(stack: Stack, app, workflow, versions):
    await stack.deploy(app["id"], workflow["id"])


async def a_save(stack: Stack, app, workflow, versions):
    await stack.save(workflow["id"], "newer than the plan")


async def a_bad_mark(stack: Stack, app, workflow, versions):
    await stack.deploy(app["id"], workflow["id"])
    [newest, *_] = await history(stack, app["id"])
    body = {"workflow_id": workflow["id"], "workflow_version_id": versions[0]["id"]}
    await stack.deploy(app["id"], **body)
    await stack.ok("POST", f"/v1/deployments/{newest['id']}/health", {"health": "bad"})


async def a_good_mark(stack: Stack, app, workflow, versions):
    await stack.ok("POST", f"/v1/deployments/{app['latest_deployment_id']}/health", {"health": "good"})


async def an_archived_version(stack: Stack, app, workflow, versions):
    await stack.ok("POST", f"/v1/workflows/{workflow['id']}/versions/{versions[0]['id']}/archive")


async def an_archived_app(stack: Stack, app, workflow, versions):
    await stack.ok("POST", f"/v1/apps/{app['id']}/archive")


async def a_deprecated_runtime(stack: Stack, app, workflow, versions):
    [runtime] = [row for row in await stack.ok("GET", "/v1/runtimes") if row["version"] == "0.70"]
    await deprecate(stack, runtime["id"])


async def a_deleted_workflow(stack: Stack, app, workflow, versions):
    await stack.rest("DELETE", f"/v1/workflows/{workflow['id']}")


LATEST, FIRST = {}, {"workflow_version_id": 0}


@pytest.mark.parametrize(
    ("move", "fields"),
    [
        (another_deploy, LATEST),
        (another_deploy, FIRST),
        (a_save, LATEST),
        (a_bad_mark, LATEST),
        (a_good_mark, FIRST),
        (an_archived_version, FIRST),
        (an_archived_app, LATEST),
        (a_deprecated_runtime, {"runtime_id": "0.70"}),
        (a_deleted_workflow, LATEST),
    ],
)
async def test_a_plan_is_outdated_when_anything_that_it_read_has_changed(stack: Stack, move, fields):
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    runtime = await add_runtime(stack, "0.70")
    body = {"workflow_id": workflow["id"], **NEW_CONFIG}
    if "workflow_version_id" in fields:
        body["workflow_version_id"] = versions[0]["id"]
    if "runtime_id" in fields:
        body["runtime_id"] = runtime
    token = (await plan(stack, app, body))["plan_token"]

    await move(stack, app, workflow, versions)
    before = await history(stack, app["id"])
    answer = await deploy(stack, app, body, token)

    assert answer.refusal == (409, "PLAN_OUTDATED", {"plan_token"})
    assert await history(stack, app["id"]) == before


async def test_a_plan_token_is_valid_for_one_body_and_one_app(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    app, other = [await stack.app(workflow["id"], workflow_version_id=versions[0]["id"]) for _ in range(2)]
    body = {"workflow_id": workflow["id"]}
    token = (await plan(stack, app, body))["plan_token"]

    for of, sent, given in [
        (app, {**body, **NEW_CONFIG}, token),
        (app, {**body, "workflow_version_id": versions[0]["id"]}, token),
        (other, body, token),
        (app, body, ""),
        (app, body, "0" * 64),
    ]:
        assert (await deploy(stack, of, sent, given)).refusal == (409, "PLAN_OUTDATED", {"plan_token"})


async def test_a_plan_lists_the_reasons_for_which_its_deploy_would_be_refused(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    other, [foreign] = await stack.workflow(name="other")
    app = await stack.app(workflow["id"])
    await stack.ok("POST", f"/v1/deployments/{app['latest_deployment_id']}/health", {"health": "bad"})
    deprecated = await add_runtime(stack, "0.1", deprecated=True)
    rows = await stack.row_counts()

    for fields, blockers in [
        ({"workflow_version_id": versions[0]["id"]}, []),
        ({}, ["VERSION_MARKED_BAD"]),
        ({"force": True}, []),
        ({"runtime_id": deprecated}, ["RUNTIME_DEPRECATED", "VERSION_MARKED_BAD"]),
        ({"runtime_id": unknown(), "force": True}, ["RUNTIME_NOT_FOUND"]),
        ({"environment": "moon"}, ["ENVIRONMENT_NOT_FOUND"]),
        ({"workflow_id": unknown()}, ["WORKFLOW_NOT_FOUND"]),
        ({"workflow_id": (await foreign_workflow(stack))[0]}, ["WORKFLOW_NOT_FOUND"]),
        ({"workflow_version_id": unknown()}, ["VERSION_NOT_FOUND"]),
        ({"workflow_version_id": foreign["id"]}, ["VERSION_OF_OTHER_WORKFLOW"]),
        ({"workflow_id": (await stack.draft())["id"]}, ["WORKFLOW_NOT_RELEASED"]),
    ]:
        body = {"workflow_id": workflow["id"], **fields}
        planned = await plan(stack, app, body)
        if blockers:
            deployed = await stack.rest("POST", f"/v1/apps/{app['id']}/deploy", body)
            assert deployed.error["details"]["reason"] == blockers[0]
        assert (fields, [blocker["reason"] for blocker in planned["blockers"]]) == (fields, blockers)
        assert all(blocker["message"] for blocker in planned["blockers"])
        assert (planned["plan_token"] == "") == bool(blockers)
    assert (await stack.row_counts())["deploy.deployments"] == rows["deploy.deployments"]
    await stack.ok("POST", f"/v1/apps/{app['id']}/archive")
    archived = await plan(stack, app, {"workflow_id": other["id"]})
    assert [blocker["reason"] for blocker in archived["blockers"]] == ["APP_ARCHIVED"]
    assert archived["changes"]["flow"]["changed"]


async def test_a_plan_that_cannot_be_made_is_an_error(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"])
    path = f"/v1/apps/{app['id']}/deploy/plan"
    wrong = {"deployment_type": "server_based"}

    broken = await stack.rest("POST", path, {"workflow_id": workflow["id"], "deployment_config": wrong})
    await stack.stop_workflow_service()
    never_live = {"workflow_id": workflow["id"], "workflow_version_id": versions[0]["id"]}
    away = await stack.rest("POST", path, never_live)
    was_live = await plan(stack, app, {**never_live, "workflow_version_id": versions[1]["id"]})

    assert broken.refusal == (400, "INVALID_REQUEST", {"deployment_config.config.autoscaling"})
    assert (away.status, away.error["details"]["reason"]) == (503, "WORKFLOW_SERVICE_UNAVAILABLE")
    assert was_live["plan_token"]
    assert len(was_live["warnings"]) == 1


async def test_a_plan_over_grpc_equals_the_plan_over_rest(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    request = pb.PlanDeployRequest(app_id=app["id"], workflow_id=workflow["id"])

    answer = await stack.deploys.PlanDeploy(request, metadata=stack.as_("viewer"))

    assert answer.data.plan_token == (await plan(stack, app, {"workflow_id": workflow["id"]}))["plan_token"]
    assert (await app_now(stack, app["id"]))["deployment_config"] == SERVERLESS
