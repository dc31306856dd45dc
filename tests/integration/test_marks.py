"""A deployment is marked good or bad; a version whose newest mark in an app is bad is not deployed to it again."""

import pytest
from deploy_fixtures import deployment_now, history, refusal, unknown

from tests.stack import Answer, Stack


async def mark(stack: Stack, deployment, health: str, **more) -> Answer:
    return await stack.rest("POST", f"/v1/deployments/{deployment['id']}/health", {"health": health, **more})


async def test_a_mark_is_on_the_record_and_a_later_one_replaces_it(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    [deployed] = await history(stack, app["id"])

    bad = await mark(stack, deployed, "bad", note="errors went up")
    good = await mark(stack, deployed, "good")

    assert (bad.status, bad.data) == (200, {**deployed, "health": "bad", "health_note": "errors went up"})
    assert good.data == {**deployed, "health": "good"}
    assert await deployment_now(stack, deployed) == good.data


async def test_a_version_marked_bad_is_not_deployed_to_this_app_again_without_force(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    app, other = [await stack.app(workflow["id"], workflow_version_id=versions[0]["id"]) for _ in range(2)]
    [deployed] = await history(stack, app["id"])
    await mark(stack, deployed, "bad")
    body = {"workflow_id": workflow["id"], "workflow_version_id": versions[0]["id"]}
    rows = await stack.row_counts()

    refused = await stack.rest("POST", f"/v1/apps/{app['id']}/deploy", body)
    unchanged = await stack.row_counts()
    newer = await stack.deploy(app["id"], workflow["id"])
    forced = await stack.deploy(app["id"], force=True, **body)
    elsewhere = await stack.deploy(other["id"], **body)

    assert refusal(refused) == (400, "VERSION_MARKED_BAD", {"force"})
    assert unchanged == rows
    assert [row["live"] for row in (newer, forced, elsewhere)] == [True] * 3


@pytest.mark.parametrize(("marks", "status"), [(("bad", "good"), 201), (("good", "bad"), 400)])
async def test_the_newest_mark_of_a_version_decides_whichever_deployment_carries_it(stack: Stack, marks, status):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    await stack.deploy(app["id"], workflow["id"])
    newer, older = await history(stack, app["id"])
    for deployment, health in zip((newer, older), marks, strict=True):
        await mark(stack, deployment, health)

    answer = await stack.rest("POST", f"/v1/apps/{app['id']}/deploy", {"workflow_id": workflow["id"]})

    assert answer.status == status


async def test_a_mark_that_is_none_is_refused(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    [deployed] = await history(stack, app["id"])

    for health, more, named in [("fine", {}, {"health"}), ("", {}, {"health"}), ("bad", {"note": "n" * 513}, {"note"})]:
        assert refusal(await mark(stack, deployed, health, **more)) == (400, "INVALID_REQUEST", named)
    nowhere = await mark(stack, {"id": unknown()}, "bad")
    assert (nowhere.status, nowhere.error["details"]["reason"]) == (404, "DEPLOYMENT_NOT_FOUND")
    assert await deployment_now(stack, deployed) == deployed
