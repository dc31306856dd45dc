"""A deploy pins a version, a runtime and a configuration, which do not change afterwards."""

import pytest

from tests.support.deployments import (
    SERVERLESS,
    TWO_TO_FIVE,
    add_runtime,
    app_now,
    bodies,
    deployment_now,
    deprecate,
    history,
    odd_flow,
    save_exactly,
    stored_flow,
)
from tests.support.stack import Stack


async def more_saves(stack, workflow, versions):
    for note in ("more", "even more"):
        await stack.save(workflow["id"], note)


async def rename(stack, workflow, versions):
    await stack.ok("PUT", f"/v1/workflows/{workflow['id']}", {"name": "another", "description": "other"})


async def archive(stack, workflow, versions):
    await stack.ok("POST", f"/v1/workflows/{workflow['id']}/versions/{versions[0]['id']}/archive")


async def delete(stack, workflow, versions):
    await stack.rest("DELETE", f"/v1/workflows/{workflow['id']}")
    assert (await stack.rest("GET", f"/v1/workflows/{workflow['id']}")).status == 404


@pytest.mark.parametrize(
    "changes", [[more_saves], [rename], [archive], [delete], [more_saves, rename, archive, delete]]
)
async def test_an_app_keeps_what_it_was_deployed_with_whatever_happens_to_the_workflow(stack: Stack, changes):
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"], workflow_version_id=versions[1]["id"])
    await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[0]["id"], deployment_config=TWO_TO_FIVE)
    before = await bodies(stack, app["id"])

    for change in changes:
        await change(stack, workflow, versions)

    assert await bodies(stack, app["id"]) == before


async def test_the_history_keeps_the_old_name_of_a_renamed_runtime(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    before = await bodies(stack, app["id"])

    async with stack.database("admin", "deploy") as db:
        await db.execute("UPDATE runtimes SET version = '9', label = 'Nine'")

    assert await bodies(stack, app["id"]) == before


async def test_a_deployment_shows_everything_that_it_pins(stack: Stack):
    workflow, [version] = await stack.workflow()
    app = await stack.app(workflow["id"])

    deployed = await stack.deploy(app["id"], workflow["id"], reason="Friday's fix", deployment_config=TWO_TO_FIVE)

    runtime = {"id": "01937f00-0000-7000-8000-000000000001", "version": "0.69", "label": "Dynamiq 0.69"}
    times = {name: deployed[name] for name in ("started_at", "finished_at", "live_from")}
    pinned = {name: version[name] for name in ("id", "version", "label", "description", "workflow_id", "digest")}
    assert deployed == {
        "id": deployed["id"],
        "app_id": app["id"],
        "environment": "production",
        "status": "succeeded",
        "live": True,
        "kind": "deploy",
        "reason": "Friday's fix",
        "workflow_id": workflow["id"],
        "workflow": {"id": workflow["id"], "name": "flow", "description": ""},
        "workflow_version_id": version["id"],
        "workflow_version": {**pinned, "created_at": version["created_at"]},
        "runtime_id": runtime["id"],
        "runtime": runtime,
        "deployment_config": TWO_TO_FIVE,
        "created_by": str(stack.people.user),
        "created_by_name": "Ada Lovelace",
        "warnings": [],
        "rollout_notes": [],
        **times,
    }
    assert await deployment_now(stack, deployed) == deployed
    assert (await history(stack, app["id"]))[0] == deployed


async def test_a_deploy_that_names_no_version_pins_the_latest(stack: Stack):
    workflow, versions = await stack.workflow(saves=3)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])

    deployed = await stack.deploy(app["id"], workflow["id"])

    assert deployed["workflow_version_id"] == versions[2]["id"]


async def test_the_pinned_flow_is_kept_byte_for_byte(stack: Stack):
    draft = await stack.draft()
    await save_exactly(stack, draft["id"], odd_flow())
    app = await stack.app(draft["id"])

    [deployed] = await history(stack, app["id"])

    assert await stored_flow(stack, deployed) == odd_flow()


async def test_a_deploy_ends_the_previous_deployment_and_changes_nothing_else_of_it(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    [first] = await history(stack, app["id"])

    second = await stack.deploy(app["id"], workflow["id"])

    assert await history(stack, app["id"]) == [second, {**first, "live": False, "live_to": second["live_from"]}]


async def test_a_deploy_without_config_and_runtime_keeps_the_live_ones(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    runtime = await add_runtime(stack, "0.68")
    app = await stack.app(
        workflow["id"],
        workflow_version_id=versions[0]["id"],
        runtime_id=runtime,
        deployment_config=TWO_TO_FIVE,
    )

    deployed = await stack.deploy(app["id"], workflow["id"])

    assert (deployed["runtime_id"], deployed["deployment_config"]) == (runtime, TWO_TO_FIVE)
    assert deployed["runtime"] == app["runtime"]


async def test_a_deploy_with_config_and_runtime_replaces_both_entirely(stack: Stack):
    workflow, _ = await stack.workflow()
    runtime = await add_runtime(stack, "0.68")
    app = await stack.app(workflow["id"], deployment_config=TWO_TO_FIVE)
    config = {"deployment_type": "server_based", "config": {"autoscaling": {"min_replicas": 1}}}

    deployed = await stack.deploy(app["id"], workflow["id"], runtime_id=runtime, deployment_config=config)
    serverless = await stack.deploy(app["id"], workflow["id"], deployment_config={"deployment_type": "serverless"})

    autoscaling = deployed["deployment_config"]["config"]["autoscaling"]
    [metric] = autoscaling["metrics"]
    assert (autoscaling["min_replicas"], autoscaling["max_replicas"]) == (1, 2)
    assert metric["resource"]["target"]["average_utilization"] == 80
    assert serverless["deployment_config"] == SERVERLESS
    assert deployed["runtime_id"] == serverless["runtime_id"] == runtime


async def test_another_workflow_of_the_project_can_be_deployed(stack: Stack):
    workflow, _ = await stack.workflow(saves=2)
    other, [version] = await stack.workflow(name="other")
    app = await stack.app(workflow["id"])

    deployed = await stack.deploy(app["id"], other["id"])

    now = await app_now(stack, app["id"])
    assert deployed["kind"] == "deploy"
    assert (now["workflow_id"], now["workflow"]["name"]) == (other["id"], "other")
    assert now["workflow_version_id"] == version["id"]


@pytest.mark.parametrize("live_before", [True, False])
async def test_an_archived_version_deploys_with_a_warning(stack: Stack, live_before):
    workflow, versions = await stack.workflow(saves=2)
    first = versions[0] if live_before else versions[1]
    app = await stack.app(workflow["id"], workflow_version_id=first["id"])
    await archive(stack, workflow, versions)

    deployed = await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[0]["id"])

    assert deployed["status"] == "succeeded"
    assert deployed["warnings"] == ["Version v1 is archived."]


async def test_a_deprecated_runtime_can_be_deployed_where_it_is_live(stack: Stack):
    workflow, _ = await stack.workflow()
    runtime = await add_runtime(stack, "0.68")
    app = await stack.app(workflow["id"], runtime_id=runtime)
    await deprecate(stack, runtime)

    left_out = await stack.deploy(app["id"], workflow["id"])
    named = await stack.deploy(app["id"], workflow["id"], runtime_id=runtime)

    assert left_out["runtime_id"] == named["runtime_id"] == runtime


async def test_each_environment_has_its_own_live_deployment(stack: Stack):
    workflow, versions = await stack.workflow(saves=3, project=stack.people.staged)
    app = await stack.app(workflow["id"], project_id=str(stack.people.staged), workflow_version_id=versions[0]["id"])

    staged = await stack.deploy(
        app["id"],
        workflow["id"],
        workflow_version_id=versions[1]["id"],
        environment="staging",
        deployment_config=TWO_TO_FIVE,
    )
    produced = await stack.deploy(app["id"], workflow["id"])

    now = await app_now(stack, app["id"])
    assert [row["environment"] for row in await history(stack, app["id"])] == ["production", "staging", "production"]
    assert [row["live"] for row in await history(stack, app["id"])] == [True, True, False]
    assert [(state["name"], state["deployment_id"]) for state in now["environments"]] == [
        ("staging", staged["id"]),
        ("production", produced["id"]),
    ]
    assert (now["latest_deployment_id"], now["workflow_version_id"]) == (produced["id"], versions[2]["id"])
    assert now["deployment_config"] == SERVERLESS
