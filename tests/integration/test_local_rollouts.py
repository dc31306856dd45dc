"""A deploy is answered after the run service has reported its replicas up, and routers have applied it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from hashlib import sha256

import pytest

from deploy_service import drivers, rollout_waits, route_watch
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.routing.v1 import routing_pb2 as pb
from tests.support.deployments import app_now, cancel, deployment_now, history, rollouts_in_progress, uuid
from tests.support.router_client import RouterClient, is_up, router_client, starts_nothing
from tests.support.stack import FLOW, Stack, deploy_service_of, fresh_stack, running_stack
from tests.support.waiting import eventually, start_calls

pytestmark = pytest.mark.slow


LOCAL = {
    "rollout_driver": "local",
    "wait_seconds": 20,
    "rollout_run_service_seconds": 0.6,
    "rollout_lease_seconds": 1,
}


@pytest.fixture(scope="module")
async def running(database_urls, tmp_path_factory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    async with fresh_stack(database_urls, folder) as unstarted, running_stack(unstarted, deploy=LOCAL) as stack:
        yield stack


@pytest.fixture
async def local(running: Stack) -> AsyncIterator[Stack]:
    """A stack without any router that has a lease."""
    yield running
    async with running.database("admin", "deploy") as db:
        await db.execute("DELETE FROM routers")


async def live_app(stack: Stack):
    """An app whose first deployment is live, its workflow, and the workflow's versions."""
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    return app, workflow, versions


async def test_the_creation_of_an_app_is_answered_when_its_first_deployment_is_live(local: Stack):
    async with router_client(local) as router:
        app, _, versions = await live_app(local)

        assert app["workflow_version_id"] == versions[0]["id"]
        assert router.live(app["id"]) == app["latest_deployment_id"]


@pytest.fixture
def rare_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiters poll once a minute, so only a notification is fast enough."""
    for module in (drivers.local, rollout_waits, route_watch):
        monkeypatch.setattr(module, "LOOK_SECONDS", 60.0)


@pytest.mark.usefixtures("rare_polls")
@pytest.mark.parametrize("routers", [1, 3])
async def test_every_router_serves_a_deployment_when_its_deploy_is_answered(local: Stack, routers: int):
    async with AsyncExitStack() as stack:
        playing = [await stack.enter_async_context(router_client(local)) for _ in range(routers)]
        app, workflow, versions = await live_app(local)

        for version in (versions[1], versions[0]) * 2:
            deployed = await local.deploy(app["id"], workflow["id"], workflow_version_id=version["id"])

            assert (deployed["status"], deployed["live"], deployed["rollout_notes"]) == ("succeeded", True, [])
            assert [router.live(app["id"]) for router in playing] == [deployed["id"]] * routers


async def test_rollbacks_and_promotions_are_answered_when_they_are_live(local: Stack):
    async with router_client(local) as router:
        workflow, versions = await local.workflow(saves=2, project=local.people.staged)
        project = {"project_id": str(local.people.staged)}
        app = await local.app(workflow["id"], workflow_version_id=versions[0]["id"], **project)
        staged = await local.deploy(app["id"], workflow["id"], environment="staging")

        promoted = await local.ok("POST", f"/v1/apps/{app['id']}/promote", {})
        live = router.live(app["id"])
        back = await local.ok("POST", f"/v1/apps/{app['id']}/rollback", {})

        assert router.live(app["id"], "staging") == staged["id"]
        assert (promoted["status"], live) == ("succeeded", promoted["id"])
        assert (back["status"], router.live(app["id"])) == ("succeeded", back["id"])
        assert back["workflow_version_id"] == versions[0]["id"]


async def test_a_disconnected_router_is_named_in_the_answer_after_two_seconds(local: Stack):
    async with router_client(local) as router, router_client(local) as other:
        app, workflow, _ = await live_app(local)
        other.is_cut_off = True
        began = time.monotonic()

        deployed = await local.deploy(app["id"], workflow["id"])

        assert 2 <= time.monotonic() - began < 15
        assert deployed["status"] == "succeeded"
        (note,) = deployed["rollout_notes"]
        assert other.name in note
        assert (await deployment_now(local, deployed))["rollout_notes"] == [note]
        assert router.live(app["id"]) == deployed["id"]
        assert other.live(app["id"]) == app["latest_deployment_id"]


async def test_a_deploy_does_not_wait_for_a_router_that_stops(local: Stack):
    async with router_client(local), router_client(local) as other:
        app, workflow, _ = await live_app(local)
        other.is_cut_off = True
        (deploy,) = await start_calls(local.deploy(app["id"], workflow["id"]))

        await other.acknowledge(leaving=True)

        assert (await deploy)["rollout_notes"] == []


async def test_a_report_of_failure_fails_the_deployment_and_keeps_the_live_one(local: Stack):
    async with router_client(local) as router:
        app, workflow, _ = await live_app(local)
        before = await app_now(local, app["id"])
        router.outcome_of = lambda pin: pb.Failed(reason="VARIABLE_MISSING", message="Set OPENAI_API_KEY.")

        failed = await local.deploy(app["id"], workflow["id"])

        assert failed["status"] == "failed"
        assert failed["error"] == {"code": "VARIABLE_MISSING", "message": "Set OPENAI_API_KEY."}
        assert await app_now(local, app["id"]) == before
        await eventually(lambda: nothing_rolls_out(router, app["id"]))
        assert router.live(app["id"]) == app["latest_deployment_id"]


async def rolling_out(router: RouterClient, app_id: str) -> pb.Pin:
    """The pin of the app's deployment that the router has to start. Waits until a replica works on it."""

    async def is_told() -> bool:
        return not await nothing_rolls_out(router, app_id)

    await eventually(is_told)
    await eventually(is_worked_on)
    return next(pin for each in router.routes[app_id].environments for pin in each.rolling_out)


async def is_worked_on() -> bool:
    return rollouts_in_progress() > 0


async def nothing_rolls_out(router: RouterClient, app_id: str) -> bool:
    return not any(environment.rolling_out for environment in router.routes[app_id].environments)


async def test_a_replica_that_loaded_another_digest_fails_the_deployment(local: Stack):
    async with router_client(local) as router:
        app, workflow, _ = await live_app(local)
        router.outcome_of = lambda pin: pb.Up(digest="ab" * 32)

        failed = await local.deploy(app["id"], workflow["id"])

        assert (failed["status"], failed["error"]["code"]) == ("failed", "DIGEST_DIFFERS")


async def test_a_deploy_without_a_run_service_fails_with_advice(local: Stack):
    async with router_client(local) as router:
        app, workflow, _ = await live_app(local)
        await router.acknowledge(leaving=True)
        router.is_cut_off = True

        failed = await local.deploy(app["id"], workflow["id"])

        assert failed["status"] == "failed"
        assert failed["error"]["code"] == "RUN_SERVICE_AWAY"
        assert "Start one and deploy again" in failed["error"]["message"]


async def test_a_deploy_of_a_flow_that_the_sdk_cannot_load_fails_with_its_first_problem(local: Stack):
    async with router_client(local):
        app, workflow, _ = await live_app(local)
        flow = json.loads(FLOW)
        flow["nodes"][1]["depends"] = [{"node": "nobody"}]
        await local.ok("POST", f"/v1/workflows/{workflow['id']}/save", {"flow": flow, "flow_ui": {}})

        failed = await local.deploy(app["id"], workflow["id"])

        assert (failed["status"], failed["error"]["code"]) == ("failed", "FLOW_INVALID")
        assert "flow.nodes[1].depends[0].node must be a node of the flow" in failed["error"]["message"]


async def test_a_canceled_rollout_is_answered_and_removed_from_the_routes(local: Stack):
    async with router_client(local) as router:
        app, workflow, _ = await live_app(local)
        router.outcome_of = starts_nothing
        deploy = asyncio.create_task(local.deploy(app["id"], workflow["id"]))
        pin = await rolling_out(router, app["id"])

        await cancel(local, {"id": pin.deployment_id})

        assert (await deploy)["status"] == "canceled"
        await eventually(lambda: nothing_rolls_out(router, app["id"]))


async def test_a_repeated_deploy_with_one_key_waits_and_gets_the_same_answer(local: Stack):
    async with router_client(local) as router:
        app, workflow, _ = await live_app(local)
        router.outcome_of = starts_nothing
        key = {"Idempotency-Key": "once"}
        first = asyncio.create_task(local.deploy(app["id"], workflow["id"], key))
        pin = await rolling_out(router, app["id"])
        (repeat,) = await start_calls(local.deploy(app["id"], workflow["id"], key))

        await router.say(str(local.people.project), pin.deployment_id, is_up(pin))

        answers = [await first, await repeat, await local.deploy(app["id"], workflow["id"], key)]
        assert {(each["id"], each["status"]) for each in answers} == {(pin.deployment_id, "succeeded")}
        assert len(await history(local, app["id"])) == 2


async def test_a_deploy_is_answered_with_its_status_when_the_rollout_takes_longer_than_the_caller_waits(local: Stack):
    async with router_client(local) as router:
        app, workflow, _ = await live_app(local)
        router.outcome_of = starts_nothing
        request = deploy_pb2.DeployAppRequest(app_id=app["id"], workflow_id=workflow["id"])

        asked = (await local.deploys.DeployApp(request, metadata=local.as_(), timeout=1.5)).data

        assert asked.status == deploy_pb2.DEPLOYMENT_STATUS_DEPLOYING
        await cancel(local, {"id": asked.id})


async def test_another_replica_continues_the_rollout_of_a_lost_one(local: Stack):
    async with deploy_service_of(local, **LOCAL) as port, router_client(local, port=port) as router:
        app, workflow, _ = await live_app(local)
        router.outcome_of = starts_nothing
        deploy = asyncio.create_task(local.deploy(app["id"], workflow["id"]))
        pin = await rolling_out(router, app["id"])
        await lease_to_lost_replica(local, pin.deployment_id)

        await router.say(str(local.people.project), pin.deployment_id, is_up(pin))

        assert (await deploy)["status"] == "succeeded"
        assert router.live(app["id"]) == pin.deployment_id


async def lease_to_lost_replica(stack: Stack, deployment_id: str) -> None:
    async with stack.database("admin", "deploy") as db:
        await db.execute(
            "UPDATE deployments SET lease_owner = gen_random_uuid(), lease_until = clock_timestamp() WHERE id = $1",
            uuid(deployment_id),
        )


@pytest.mark.usefixtures("rare_polls")
async def test_a_router_connected_to_another_replica_receives_a_deploy_immediately(local: Stack):
    async with deploy_service_of(local, **LOCAL) as port, router_client(local, port=port) as router:
        app, workflow, _ = await live_app(local)

        for _ in range(3):
            deployed = await local.deploy(app["id"], workflow["id"])

            assert (deployed["status"], deployed["rollout_notes"]) == ("succeeded", [])
            assert router.live(app["id"]) == deployed["id"]


async def test_the_loadable_that_a_deployment_pins_can_be_read_and_has_its_digest(local: Stack):
    async with router_client(local) as router:
        app, _, _ = await live_app(local)
        pin = router.routes[app["id"]].environments[0].live

        request = pb.GetLoadableRequest(project_id=str(local.people.project), digest=pin.loadable_digest)
        answer = await router.stub.GetLoadable(request, metadata=router.token)

        assert sha256(answer.loadable.utf8).hexdigest() == pin.loadable_digest
