"""A rollback is a deploy of an older version: the newest row of the history, and all that was live before it stays."""

import pytest

from tests.support.deployments import TWO_TO_FIVE, add_runtime, app_now, assert_chain, history
from tests.support.stack import Stack

DELETED = "The workflow or this version of it has been deleted; the app keeps what it had live."


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch):
    """On a busy machine a quarter of a second is no sign that the workflow service is away."""
    monkeypatch.setattr("deploy_service.workflow_client.ASK_ABOUT_KNOWN_SECONDS", 5)


async def test_a_rollback_is_a_deploy_of_an_older_version_and_the_newest_row(stack: Stack):
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


async def test_a_rollback_keeps_config_and_runtime_that_are_live(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    runtime = await add_runtime(stack, "0.70")
    await stack.deploy(app["id"], workflow["id"], runtime_id=runtime, deployment_config=TWO_TO_FIVE)

    back = await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[0]["id"])

    assert (back["kind"], back["runtime_id"], back["deployment_config"]) == ("rollback", runtime, TWO_TO_FIVE)


async def test_rolling_forward_again_is_a_deploy(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"])
    await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[0]["id"])

    forward = await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[1]["id"])
    again = await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[1]["id"])

    assert (forward["kind"], again["kind"]) == ("deploy", "deploy")


async def test_an_older_version_that_was_never_live_is_a_rollback_too(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"])

    back = await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[0]["id"])

    assert (back["kind"], back["live"]) == ("rollback", True)


async def test_an_app_rolls_back_to_what_it_had_live_after_the_workflow_was_deleted(stack: Stack):
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


async def test_what_another_app_had_live_does_not_outlive_its_workflow_here(stack: Stack):
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


async def test_a_rollback_pins_the_names_of_now_and_leaves_those_of_then(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    await stack.deploy(app["id"], workflow["id"])
    await stack.ok("PUT", f"/v1/workflows/{workflow['id']}", {"name": "renamed"})

    await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[0]["id"])

    names = [row["workflow"]["name"] for row in await history(stack, app["id"])]
    assert names == ["renamed", "flow", "flow"]
