"""Concurrent deploys go live one after the other. An older one never replaces a newer one."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from service_kit.channel import open_channel
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from service_kit.pb.flowpin.deploy.v1.deploy_pb2_grpc import DeployServiceStub
from tests.support.deployments import app_now, assert_chain, history, until_ended
from tests.support.stack import Stack, deploy_service_of, running_stack

pytestmark = pytest.mark.slow

SCRIPT = "ok,delay:0.9,delay:0.1,delay:0.5,fail,delay:0.7,ok,delay:0.3"
SCRIPTED = {"rollout_driver": "scripted", "rollout_script": SCRIPT}


async def deploy_at_once(stack: Stack, app, versions, count: int) -> list[str]:
    """Deploy concurrently, half over REST and half over gRPC. Returns the ids of the deployments."""

    async def over_rest(version_id: str) -> str:
        return (await stack.deploy(app["id"], app["workflow_id"], workflow_version_id=version_id))["id"]

    async def over_grpc(version_id: str) -> str:
        request = pb.DeployAppRequest(app_id=app["id"], workflow_id=app["workflow_id"], workflow_version_id=version_id)
        return (await stack.deploys.DeployApp(request, metadata=stack.as_())).data.id

    calls = [
        (over_rest if number % 2 else over_grpc)(versions[number % len(versions)]["id"]) for number in range(count)
    ]
    return await asyncio.gather(*calls)


@pytest.mark.parametrize("replicas", [1, 2])
async def test_forty_concurrent_deploys_go_live_one_after_the_other(unstarted: Stack, replicas):
    async with AsyncExitStack() as running:
        stack = await running.enter_async_context(running_stack(unstarted))
        if replicas == 2:
            second = await running.enter_async_context(deploy_service_of(stack))
            channel = await running.enter_async_context(open_channel(f"127.0.0.1:{second}"))
            stack.deploys = DeployServiceStub(channel)
        workflow, versions = await stack.workflow(saves=5)
        app = await stack.app(workflow["id"])

        ids = await deploy_at_once(stack, app, versions, 40)

        rows = (await history(stack, app["id"]))[::-1]
        assert {row["id"] for row in rows[1:]} == set(ids)
        assert [row["status"] for row in rows] == ["succeeded"] * 41
        assert [row["live"] for row in rows] == [False] * 40 + [True]
        assert_chain(rows)
        assert (await app_now(stack, app["id"]))["latest_deployment_id"] == rows[-1]["id"]


async def test_concurrent_rollouts_on_two_replicas_end_with_the_newest_successful_one_live(unstarted: Stack):
    async with running_stack(unstarted, deploy=SCRIPTED) as stack, deploy_service_of(stack, **SCRIPTED):
        workflow, versions = await stack.workflow(saves=3)
        app = await stack.app(workflow["id"])
        await until_ended(stack, (await history(stack, app["id"]))[0])
        app = await app_now(stack, app["id"])

        await deploy_at_once(stack, app, versions, 12)

        for row in await history(stack, app["id"]):
            await until_ended(stack, row)
        rows = (await history(stack, app["id"]))[::-1]
        went_live = [row for row in rows if row["status"] == "succeeded"]
        others = [row["error"]["code"] for row in rows if row["status"] != "succeeded"]
        assert rows[-1]["live"]
        assert rows[4]["status"] == "failed"
        assert set(others) <= {"SUPERSEDED", "ROLLOUT_FAILED"}
        assert_chain(went_live)


async def test_concurrent_deploys_in_two_environments_are_independent(stack: Stack):
    workflow, _ = await stack.workflow(project=stack.people.staged)
    app = await stack.app(workflow["id"], project_id=str(stack.people.staged))

    await asyncio.gather(
        *(
            stack.deploy(app["id"], workflow["id"], environment=environment)
            for environment in ("staging", "production") * 10
        )
    )

    rows = (await history(stack, app["id"]))[::-1]
    assert_chain([row for row in rows if row["environment"] == "production"])
    assert_chain([row for row in rows if row["environment"] == "staging"])


async def test_concurrent_deploys_and_a_delete_leave_nothing_live(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    path = f"/v1/apps/{app['id']}"

    answers = await asyncio.gather(
        *(stack.rest("POST", f"{path}/deploy", {"workflow_id": workflow["id"]}) for _ in range(10)),
        stack.rest("DELETE", path),
        *(stack.rest("POST", f"{path}/deploy", {"workflow_id": workflow["id"]}) for _ in range(10)),
    )

    async with stack.database("admin", "deploy") as db:
        open_or_live = await db.fetchval(
            "SELECT count(*) FROM deployments WHERE finished_at IS NULL OR (live_from IS NOT NULL AND live_to IS NULL)"
        )
    assert {answer.status for answer in answers} <= {200, 201, 404}
    assert open_or_live == 0
