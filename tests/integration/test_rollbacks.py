"""A rollback is a deploy of an older version. It is the newest row of the history and changes no earlier row."""

import pytest

from tests.support.deployments import TWO_TO_FIVE, add_runtime, app_now, assert_chain, history
from tests.support.stack import Stack

DELETED = "The workflow or this version was deleted. What is live stays live."


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch):
    """On a busy machine an answer after a quarter of a second does not mean that the workflow service is down."""
    monkeypatch.setattr("deploy_service.workflow_client.ASK_ABOUT_KNOWN_SECONDS", 5)


async def test_a_rollback_is_the_newest_row_of_the_history(stack: Stack):
    workflow, versions = await stack.workflow(saves=3)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[1]["id"])
    await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[2]["id"])

    back = await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[0]["id"], reason="v3 broke")

    rows = await history(stack, app["id"])
    assert rows[0] == back
    assert [row["kind"] for row in rows] == ["rollback", "deploy", "deploy", "deploy"]
    assert [row["workflow_version"]["version"] for row in rows] == [1, 3, 2, 1]
    assert [row["status"] for row in rows] == ["succeeded"] * 4
    assert (await app_now(stack, app["id"]))["workflow_version_id"] == versions[0]["id"]
    assert_chain(rows[::-1])


async def test_a_rollback_by_deploy_keeps_the_live_config_and_runtime(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    runtime = await add_runtime(stack, "0.70")
    await stack.deploy(app["id"], workflow["id"], runtime_id=runtime, deployment_config=TWO_TO_FIVE)

    back = await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[0]["id"])

    assert (back["kind"], back["runtime_id"], back["deployment_config"]) == ("rollback", runtime, TWO_TO_FIVE)


async def test_deploying_the_newer_version_after_a_rollback_is_a_deploy(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"])
    await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[0]["id"])

    forward = await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[1]["id"])
    again = await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[1]["id"])

    assert (forward["kind"], again["kind"]) == ("deploy", "deploy")


async def test_deploying_an_older_version_that_was_never_live_is_a_rollback(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"])

    back = await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[0]["id"])

    assert (back["kind"], back["live"]) == ("rollback", True)


async def test_an_app_rolls_back_after_its_workflow_was_deleted(stack: Stack):
    workflow, versions = await stack.workflow(saves=3)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    [first] = await history(stack, app["id"])
    await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[2]["id"])
    await stack.rest("DELETE", f"/v1/workflows/{workflow['id']}")

    back = await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[0]["id"])
    never_live = await stack.rest(
        "POST",
        f"/v1/apps/{app['id']}/deploy",
        {"workflow_id": workflow["id"], "workflow_version_id": versions[1]["id"]},
    )

    pinned = ("workflow_id", "workflow", "workflow_version_id", "workflow_version", "runtime", "deployment_config")
    assert {name: back[name] for name in pinned} == {name: first[name] for name in pinned}
    assert (back["kind"], back["live"], back["warnings"]) == ("rollback", True, [DELETED])
    assert never_live.refusal == (400, "WORKFLOW_NOT_FOUND", {"workflow_id"})


async def test_a_version_of_a_deleted_workflow_that_only_another_app_had_live_is_refused(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    await stack.app(workflow["id"], name="other", workflow_version_id=versions[0]["id"])
    app = await stack.app(workflow["id"])
    await stack.rest("DELETE", f"/v1/workflows/{workflow['id']}")

    answer = await stack.rest(
        "POST",
        f"/v1/apps/{app['id']}/deploy",
        {"workflow_id": workflow["id"], "workflow_version_id": versions[0]["id"]},
    )

    assert answer.refusal == (400, "WORKFLOW_NOT_FOUND", {"workflow_id"})


async def test_a_rollback_pins_the_current_name_and_the_history_keeps_the_old_ones(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    await stack.deploy(app["id"], workflow["id"])
    await stack.ok("PUT", f"/v1/workflows/{workflow['id']}", {"name": "renamed"})

    await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[0]["id"])

    names = [row["workflow"]["name"] for row in await history(stack, app["id"])]
    assert names == ["renamed", "flow", "flow"]
