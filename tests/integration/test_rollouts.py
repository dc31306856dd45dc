"""Rollouts that take time, fail, hang or are canceled. The live deployment stays live until the next one is up."""

from contextlib import asynccontextmanager

import pytest

from tests.support.deployments import (
    app_now,
    assert_chain,
    bodies,
    cancel,
    deployment_now,
    history,
    rollouts_in_progress,
    until_deploying,
    until_ended,
)
from tests.support.stack import Stack, running_stack
from tests.support.waiting import eventually


@asynccontextmanager
async def scripted(unstarted: Stack, script: str, **settings: object):
    async with running_stack(
        unstarted, deploy={"rollout_driver": "scripted", "rollout_script": script, **settings}
    ) as stack:
        yield stack


async def live_app(stack: Stack, **fields: object):
    """An app whose first deployment is live, and its workflow. The first step of the script must succeed."""
    workflow, _ = await stack.workflow(project=fields.get("project_id"))
    app = await stack.app(workflow["id"], **fields)
    [first] = await history(stack, app["id"])
    assert (await until_ended(stack, first))["status"] == "succeeded"
    return await app_now(stack, app["id"]), workflow


async def no_rollout_is_under_way() -> bool:
    return rollouts_in_progress() == 0


async def test_a_deployment_is_pending_then_deploying_and_live_only_when_it_is_up(unstarted: Stack):
    async with scripted(unstarted, "ok,delay:0.7") as stack:
        app, workflow = await live_app(stack)

        asked = await stack.deploy(app["id"], workflow["id"])
        await until_deploying(stack, asked)

        meanwhile = await app_now(stack, app["id"])
        done = await until_ended(stack, asked)
        assert (asked["status"], asked["live"]) == ("pending", False)
        assert meanwhile == app
        assert (done["status"], done["live"]) == ("succeeded", True)
        assert (await app_now(stack, app["id"]))["latest_deployment_id"] == asked["id"]
        assert_chain((await history(stack, app["id"]))[::-1])


async def test_a_failed_rollout_has_its_cause_and_keeps_the_live_deployment(unstarted: Stack):
    async with scripted(unstarted, "ok,fail") as stack:
        app, workflow = await live_app(stack)
        before = await bodies(stack, app["id"])

        failed = await until_ended(stack, await stack.deploy(app["id"], workflow["id"]))

        after = await bodies(stack, app["id"])
        path = f"/v1/apps/{app['id']}"
        first = f"{path}/deployments/{app['latest_deployment_id']}"
        assert failed["status"] == "failed"
        assert failed["error"] == {"code": "ROLLOUT_FAILED", "message": "The script says that this rollout fails."}
        assert {"live_from", "live_to"}.isdisjoint(failed)
        assert (after[path], after[first]) == (before[path], before[first])


async def test_an_app_whose_first_rollout_fails_serves_nothing(unstarted: Stack):
    async with scripted(unstarted, "fail") as stack:
        workflow, _ = await stack.workflow()
        app = await stack.app(workflow["id"])
        [first] = await history(stack, app["id"])

        await until_ended(stack, first)

        now = await app_now(stack, app["id"])
        assert now["latest_deployment_id"] == first["id"]
        assert {"workflow_id", "workflow_version_id", "runtime_id", "deployment_config"}.isdisjoint(now)
        assert now["environments"] == [{"name": "production", "hostname": app["hostname"]}]


async def test_a_slow_older_deploy_does_not_replace_a_newer_one(unstarted: Stack):
    async with scripted(unstarted, "ok,delay:1.5,ok") as stack:
        app, workflow = await live_app(stack)
        older = await stack.deploy(app["id"], workflow["id"])
        newer = await until_ended(stack, await stack.deploy(app["id"], workflow["id"]))
        live = await app_now(stack, app["id"])

        older = await until_ended(stack, older)

        assert (newer["status"], older["status"]) == ("succeeded", "canceled")
        assert older["error"] == {"code": "SUPERSEDED", "message": "A newer deployment went live first."}
        assert live["latest_deployment_id"] == newer["id"]
        assert await app_now(stack, app["id"]) == live
        assert_chain([row for row in (await history(stack, app["id"]))[::-1] if row["status"] == "succeeded"])


async def test_a_newer_deploy_that_fails_does_not_stop_the_older_one(unstarted: Stack):
    async with scripted(unstarted, "ok,delay:1,fail") as stack:
        app, workflow = await live_app(stack)
        older = await stack.deploy(app["id"], workflow["id"])
        newer = await until_ended(stack, await stack.deploy(app["id"], workflow["id"]))

        older = await until_ended(stack, older)

        assert (newer["status"], older["status"], older["live"]) == ("failed", "succeeded", True)


async def test_a_newer_deploy_in_another_environment_does_not_stop_an_older_one(unstarted: Stack):
    async with scripted(unstarted, "ok,delay:0.8,ok") as stack:
        app, workflow = await live_app(stack, project_id=str(stack.people.staged))
        here = await stack.deploy(app["id"], workflow["id"])
        there = await until_ended(stack, await stack.deploy(app["id"], workflow["id"], environment="staging"))

        here = await until_ended(stack, here)

        assert (here["live"], (await deployment_now(stack, there))["live"]) == (True, True)


@pytest.mark.parametrize("is_begun", [False, True])
async def test_canceling_a_rollout_stops_its_driver_and_keeps_the_live_deployment(unstarted: Stack, is_begun):
    async with scripted(unstarted, "ok,hang") as stack:
        app, workflow = await live_app(stack)
        hanging = await stack.deploy(app["id"], workflow["id"])
        if is_begun:
            await until_deploying(stack, hanging)

        first, second = await cancel(stack, hanging), await cancel(stack, hanging)

        assert (first.status, first.data["status"], first.data["live"]) == (200, "canceled", False)
        assert "error" not in first.data
        assert second.data == first.data == await deployment_now(stack, hanging)
        assert await app_now(stack, app["id"]) == app
        await eventually(no_rollout_is_under_way)


@pytest.mark.parametrize("script", ["ok,ok", "ok,fail"])
async def test_a_finished_deployment_cannot_be_canceled(unstarted: Stack, script):
    async with scripted(unstarted, script) as stack:
        app, workflow = await live_app(stack)
        finished = await until_ended(stack, await stack.deploy(app["id"], workflow["id"]))
        before = await bodies(stack, app["id"])

        answer = await cancel(stack, finished)

        assert (answer.status, answer.error["code"]) == (400, "bad_request")
        assert answer.error["details"] == {"reason": "DEPLOYMENT_FINISHED", "status": finished["status"]}
        assert await bodies(stack, app["id"]) == before


@pytest.mark.parametrize(("token", "status"), [("viewer", 403), ("stranger", 404)])
async def test_only_an_editor_of_the_project_cancels_a_rollout(unstarted: Stack, token, status):
    async with scripted(unstarted, "hang") as stack:
        workflow, _ = await stack.workflow()
        app = await stack.app(workflow["id"])
        [hanging] = await history(stack, app["id"])

        answer = await stack.rest("POST", f"/v1/deployments/{hanging['id']}/cancel", token=token)

        assert answer.status == status
        assert (await deployment_now(stack, hanging))["status"] != "canceled"


async def test_a_rollout_that_takes_too_long_fails(unstarted: Stack):
    async with scripted(unstarted, "ok,hang", rollout_timeout_seconds=0.5) as stack:
        app, workflow = await live_app(stack)

        late = await until_ended(stack, await stack.deploy(app["id"], workflow["id"]))

        assert (late["status"], late["error"]["code"]) == ("failed", "ROLLOUT_TIMED_OUT")
        assert await app_now(stack, app["id"]) == app


async def test_the_rollout_of_a_deleted_app_ends(unstarted: Stack):
    async with scripted(unstarted, "ok,hang") as stack:
        app, workflow = await live_app(stack)
        hanging = await stack.deploy(app["id"], workflow["id"])
        await until_deploying(stack, hanging)
        assert rollouts_in_progress() == 1

        answer = await stack.rest("DELETE", f"/v1/apps/{app['id']}")

        assert answer.status == 200
        await eventually(no_rollout_is_under_way)
        async with stack.database("admin", "deploy") as db:
            rows = await db.fetch("SELECT status, live_to IS NULL AS open FROM deployments ORDER BY number")
        assert [tuple(row) for row in rows] == [("succeeded", False), ("canceled", True)]


async def test_redeploying_a_version_whose_rollout_failed_needs_the_workflow_service(unstarted: Stack):
    async with scripted(unstarted, "ok,fail,ok") as stack:
        app, workflow = await live_app(stack)
        version = await stack.save(workflow["id"], "never live")
        await until_ended(stack, await stack.deploy(app["id"], workflow["id"]))
        await stack.stop_workflow_service()

        body = {"workflow_id": workflow["id"], "workflow_version_id": version["id"]}
        answer = await stack.rest("POST", f"/v1/apps/{app['id']}/deploy", body)

        assert answer.status == 503
