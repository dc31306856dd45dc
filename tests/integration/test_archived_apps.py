"""An archived app stays live, is not listed, and accepts no deployment."""

import pytest

from tests.support.deployments import (
    app_now,
    deployment_now,
    history,
    rollouts_in_progress,
    until_deploying,
    until_ended,
)
from tests.support.stack import Stack, running_stack
from tests.support.waiting import eventually


async def names(stack: Stack, query: str = "") -> list[str]:
    answer = await stack.rest("GET", f"/v1/apps?project_id={stack.people.project}&{query}")
    assert answer.body["pagination"]["total_count"] == len(answer.data)
    return [app["name"] for app in answer.data]


async def test_archiving_an_app_keeps_its_live_deployment_and_unarchiving_undoes_it(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    path = f"/v1/apps/{app['id']}"

    archived = await stack.ok("POST", f"{path}/archive")
    twice = await stack.ok("POST", f"{path}/archive")
    back = [await stack.ok("POST", f"{path}/unarchive") for _ in range(2)]

    marks = {"archived_at": archived["archived_at"], "archived_by": str(stack.people.user)}
    assert archived == twice == {**app, **marks}
    assert back == [app, app]
    assert await app_now(stack, app["id"]) == app


async def test_archived_apps_are_listed_on_request_only(stack: Stack):
    workflow, _ = await stack.workflow()
    await stack.app(workflow["id"], name="kept")
    gone = await stack.app(workflow["id"], name="gone")

    await stack.ok("POST", f"/v1/apps/{gone['id']}/archive")

    assert await names(stack) == ["kept"]
    assert await names(stack, "archived=true") == ["gone"]
    assert await names(stack, "archived=false&include_archived=true") == ["kept"]
    assert await names(stack, "include_archived=true") == ["gone", "kept"]
    assert await names(stack, f"include_archived=true&workflow_id={workflow['id']}") == ["gone", "kept"]


async def test_a_deploy_to_an_archived_app_is_refused(stack: Stack):
    workflow, versions = await stack.workflow(saves=2, project=stack.people.staged)
    app = await stack.app(workflow["id"], project_id=str(stack.people.staged), workflow_version_id=versions[0]["id"])
    await stack.deploy(app["id"], workflow["id"])
    await stack.deploy(app["id"], workflow["id"], environment="staging")
    before = await history(stack, app["id"])
    path = f"/v1/apps/{app['id']}"

    await stack.ok("POST", f"{path}/archive")
    answers = [
        await stack.rest("POST", f"{path}/deploy", {"workflow_id": workflow["id"]}),
        await stack.rest("POST", f"{path}/rollback", {}),
        await stack.rest("POST", f"{path}/promote", {}),
    ]

    assert [answer.refusal for answer in answers] == [(400, "APP_ARCHIVED", set())] * 3
    assert await history(stack, app["id"]) == before
    await stack.ok("POST", f"{path}/unarchive")
    assert (await stack.deploy(app["id"], workflow["id"]))["live"]


@pytest.mark.parametrize("is_begun", [False, True])
async def test_archiving_an_app_cancels_its_rollouts_in_progress(unstarted: Stack, is_begun: bool):
    script = {"rollout_driver": "scripted", "rollout_script": "ok,delay:1"}
    async with running_stack(unstarted, deploy=script) as stack:
        workflow, versions = await stack.workflow(saves=2)
        app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
        await until_ended(stack, (await history(stack, app["id"]))[0])
        live = await app_now(stack, app["id"])
        slow = await stack.deploy(app["id"], workflow["id"])
        if is_begun:
            await until_deploying(stack, slow)

        archived = await stack.ok("POST", f"/v1/apps/{app['id']}/archive")

        canceled = await deployment_now(stack, slow)
        assert (canceled["status"], canceled["live"]) == ("canceled", False)
        assert canceled["error"] == {"code": "APP_ARCHIVED", "message": "The app was archived."}

        async def is_given_up() -> bool:
            return rollouts_in_progress() == 0

        await eventually(is_given_up)
        assert await deployment_now(stack, slow) == canceled
        assert await app_now(stack, app["id"]) == archived
        assert {name: value for name, value in archived.items() if not name.startswith("archived_")} == live
