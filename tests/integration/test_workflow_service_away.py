"""While the workflow service is down, rollbacks and reads continue and no change is made in part."""

import grpc
import pytest

from flowpin_cli.machine.health import until
from service_kit.access.tokens import revoke_token
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from tests.support.deployments import app_now, assert_chain, bodies, history, unknown
from tests.support.stack import Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

NOT_KNOWN = "The workflow service did not answer, so it is not known whether the version is archived."


async def test_apps_and_history_are_readable_while_the_workflow_service_is_down(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    await stack.deploy(app["id"], workflow["id"])
    before = await bodies(stack, app["id"])

    await stack.stop_workflow_service()

    assert (await stack.rest("GET", f"/v1/workflows/{workflow['id']}")).status == 503
    assert await bodies(stack, app["id"]) == before
    assert await stack.ok("GET", f"/v1/apps?project_id={stack.people.project}") == [await app_now(stack, app["id"])]


async def test_a_version_that_was_live_deploys_while_the_workflow_service_is_down(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    await stack.deploy(app["id"], workflow["id"])
    first = (await history(stack, app["id"]))[-1]
    await stack.stop_workflow_service()

    back = await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[0]["id"])

    pinned = ("workflow_id", "workflow", "workflow_version_id", "workflow_version", "runtime", "deployment_config")
    assert (back["kind"], back["status"], back["live"]) == ("rollback", "succeeded", True)
    assert {name: back[name] for name in pinned} == {name: first[name] for name in pinned}
    assert back["warnings"] == [NOT_KNOWN]
    assert_chain((await history(stack, app["id"]))[::-1])


async def test_a_version_live_in_one_environment_deploys_to_another_while_the_workflow_service_is_down(stack: Stack):
    workflow, [version] = await stack.workflow(project=stack.people.staged)
    app = await stack.app(workflow["id"], project_id=str(stack.people.staged), environment="staging")
    await stack.stop_workflow_service()

    deployed = await stack.deploy(app["id"], workflow["id"], workflow_version_id=version["id"])

    assert (deployed["environment"], deployed["live"]) == ("production", True)


async def test_an_app_of_a_deleted_workflow_rolls_back_while_the_workflow_service_is_down(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    await stack.deploy(app["id"], workflow["id"])
    await stack.rest("DELETE", f"/v1/workflows/{workflow['id']}")
    await stack.stop_workflow_service()

    back = await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[0]["id"])

    assert (back["kind"], back["live"], back["warnings"]) == ("rollback", True, [NOT_KNOWN])


@pytest.mark.parametrize(
    "what", ["a version never live", "the latest version", "a version live in another app", "no such version", "an app"]
)
async def test_deploying_a_version_that_was_never_live_is_a_503_while_the_workflow_service_is_down(stack: Stack, what):
    workflow, versions = await stack.workflow(saves=3)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    other = await stack.app(workflow["id"], name="other", workflow_version_id=versions[1]["id"])
    rows, before = await stack.row_counts(), [await bodies(stack, each["id"]) for each in (app, other)]
    await stack.stop_workflow_service()
    path, fields = f"/v1/apps/{app['id']}/deploy", {
        "a version never live": {"workflow_version_id": versions[2]["id"]},
        "the latest version": {},
        "a version live in another app": {"workflow_version_id": versions[1]["id"]},
        "no such version": {"workflow_version_id": unknown()},
        "an app": {"name": "third", "project_id": app["project_id"], "workflow_version_id": versions[0]["id"]},
    }[what]  # fmt: skip
    if what == "an app":
        path = "/v1/apps"

    answer = await stack.rest("POST", path, {"workflow_id": workflow["id"], **fields})

    assert (answer.status, answer.error["code"]) == (503, "unavailable")
    assert answer.error["details"] == {"reason": "WORKFLOW_SERVICE_UNAVAILABLE"}
    assert int(answer.headers["Retry-After"]) >= 1
    assert await stack.row_counts() == rows
    assert [await bodies(stack, each["id"]) for each in (app, other)] == before


async def test_grpc_callers_are_told_when_to_retry_while_the_workflow_service_is_down(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    await stack.stop_workflow_service()
    request = pb.DeployAppRequest(app_id=app["id"], workflow_id=workflow["id"])

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stack.deploys.DeployApp(request, metadata=stack.as_())

    failure = ServiceError.from_rpc_error(refused.value)
    assert failure.code is grpc.StatusCode.UNAVAILABLE
    assert (failure.reason, failure.retry_after) == ("WORKFLOW_SERVICE_UNAVAILABLE", 1)


async def test_deploying_works_again_when_the_workflow_service_is_back(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    body = {"workflow_id": workflow["id"], "workflow_version_id": versions[1]["id"]}
    await stack.stop_workflow_service()
    assert (await stack.rest("POST", f"/v1/apps/{app['id']}/deploy", body)).status == 503

    await stack.start_workflow_service()

    async def is_deployed() -> bool:
        return (await stack.rest("POST", f"/v1/apps/{app['id']}/deploy", body)).status == 201

    await eventually(is_deployed)
    assert [row["warnings"] for row in await history(stack, app["id"])] == [[], []]
    assert (await app_now(stack, app["id"]))["workflow_version_id"] == versions[1]["id"]


async def test_a_service_account_without_access_to_the_project_is_named_as_the_cause(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    deploy = {"workflow_id": workflow["id"], "workflow_version_id": versions[1]["id"]}
    create = deploy | {"name": "other", "project_id": app["project_id"]}
    plan = f"/v1/apps/{app['id']}/deploy/plan"
    calls = [("/v1/apps", create), (plan, deploy), (f"/v1/apps/{app['id']}/deploy", deploy)]

    revoke_token(stack.people.path, "tok_service")

    async def is_refused() -> bool:
        return (await stack.rest("POST", plan, deploy)).status == 503

    assert await until(is_refused, 5)
    for path, body in calls:
        answer = await stack.rest("POST", path, body)
        assert answer.refusal[:2] == (503, "DEPLOY_ACCOUNT_NOT_PERMITTED")
        assert "own account" in answer.error["message"]
