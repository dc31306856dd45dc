"""Routers receive a snapshot and then each change, while they have a valid token with the role runner."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial

import grpc
import pytest
import yaml

from deploy_service import route_watch
from deploy_service.repository import loadables
from service_kit.channel import open_channel
from service_kit.ids import new_id
from service_kit.pb.flowpin.routing.v1 import routing_pb2 as pb
from service_kit.pb.flowpin.routing.v1.routing_pb2_grpc import RoutingServiceStub
from tests.support.deployments import TWO_TO_FIVE
from tests.support.refusals import refusal
from tests.support.router_client import RouterClient, router_client
from tests.support.stack import Stack, deploy_service_of
from tests.support.waiting import eventually, start_calls

UNKNOWN = str(new_id())


@pytest.fixture(scope="module")
async def router(shared_stack: Stack) -> AsyncIterator[RouterClient]:
    async with router_client(shared_stack) as router:
        yield router


async def app_of(stack: Stack, **fields):
    workflow, _ = await stack.workflow(project=fields.get("project_id"))
    return await stack.app(workflow["id"], **fields), workflow


async def test_the_routes_of_an_app_have_all_its_live_deployments(shared_stack: Stack, router: RouterClient):
    project = {"project_id": str(shared_stack.people.staged)}
    app, workflow = await app_of(shared_stack, deployment_config=TWO_TO_FIVE, **project)
    staged = await shared_stack.deploy(app["id"], workflow["id"], environment="staging")

    await eventually(lambda: serves(router, app["id"], staged["id"], "staging"))

    route = router.routes[app["id"]]
    staging, production = route.environments
    assert (route.project_id, route.hostname) == (project["project_id"], app["hostname"])
    assert (route.access_type, route.archived, route.deleted) == (pb.ACCESS_TYPE_PRIVATE, False, False)
    assert [(each.environment, each.is_default) for each in (staging, production)] == [
        ("staging", False),
        ("production", True),
    ]
    assert [each.hostname for each in (staging, production)] == [each["hostname"] for each in app["environments"]]
    pin = production.live
    assert (pin.deployment_id, pin.version_id) == (app["latest_deployment_id"], app["workflow_version_id"])
    assert (pin.number, pin.version_number, pin.runtime_version) == (1, 1, "0.69")
    assert f"sha256:{pin.flow_digest}" == staged["workflow_version"]["digest"]
    assert len(pin.loadable_digest) == 64
    assert (pin.scaling.server_based, pin.scaling.min_replicas, pin.scaling.max_replicas) == (True, 2, 5)
    assert [(each.resource, each.average_utilization) for each in pin.scaling.targets] == [("cpu", 60)]
    assert not staging.live.scaling.server_based


async def serves(router: RouterClient, app_id: str, deployment_id: str | None, environment: str = "production") -> bool:
    return app_id in router.routes and router.live(app_id, environment) == deployment_id


async def test_each_change_of_an_app_is_sent_to_routers_with_a_greater_revision(
    shared_stack: Stack, router: RouterClient
):
    app, _ = await app_of(shared_stack)
    path = f"/v1/apps/{app['id']}"
    await eventually(lambda: serves(router, app["id"], app["latest_deployment_id"]))
    revisions = [router.routes[app["id"]].revision]

    for call, holds in (
        (("PUT", path, {"access_control": {"access_type": "public"}}), lambda route: route.access_type == 2),
        (("POST", f"{path}/archive", {}), lambda route: route.archived),
        (("POST", f"{path}/unarchive", {}), lambda route: not route.archived),
        (("DELETE", path), lambda route: route.deleted),
    ):
        await shared_stack.ok(*call)
        await eventually(partial(told, router, app["id"], holds), 3)
        revisions.append(router.routes[app["id"]].revision)

    *changes, deleted = revisions
    assert changes == sorted(set(changes))
    assert deleted == 0


async def told(router: RouterClient, app_id: str, holds) -> bool:
    return holds(router.routes[app_id])


async def test_routes_have_hashes_of_access_keys_until_they_are_revoked(shared_stack: Stack, router: RouterClient):
    project = str(shared_stack.people.project)
    key = await shared_stack.ok("POST", "/v1/access-keys", {"project_id": project, "name": "key"})
    await eventually(lambda: knows(router, project, key["id"]), 2)
    told = next(each for each in router.keys[project] if each.id == key["id"])

    await shared_stack.ok("DELETE", f"/v1/access-keys/{key['id']}")

    await eventually(lambda: knows(router, project, key["id"], False), 2)
    assert (told.preview, len(told.key_hash)) == (key["preview"], 32)
    assert key["key"].encode() not in told.SerializeToString()


async def knows(router: RouterClient, project: str, key_id: str, expected: bool = True) -> bool:
    return any(each.id == key_id for each in router.keys.get(project, ())) is expected


async def test_routes_contain_no_name_flow_or_secret(shared_stack: Stack, router: RouterClient):
    app, _ = await app_of(shared_stack, name="canary app", description="canary")
    await eventually(lambda: serves(router, app["id"], app["latest_deployment_id"]))

    sent = router.routes[app["id"]].SerializeToString()

    assert b"canary" not in sent
    assert b"expression" not in sent


async def test_a_stream_of_routes_begins_again_with_a_new_snapshot(shared_stack: Stack):
    app, workflow = await app_of(shared_stack)
    async with AsyncExitStack() as first:
        port = await first.enter_async_context(deploy_service_of(shared_stack))
        async with router_client(shared_stack, port=port) as router:
            assert await serves(router, app["id"], app["latest_deployment_id"])
            await first.aclose()
            gone = await app_of(shared_stack)
            deployed = await shared_stack.deploy(app["id"], workflow["id"])
            await shared_stack.ok("DELETE", f"/v1/apps/{gone[0]['id']}")

            async with deploy_service_of(shared_stack, port):
                await eventually(lambda: serves(router, app["id"], deployed["id"]))

            assert router.snapshots == 2
            assert gone[0]["id"] not in router.routes


async def test_a_stream_of_routes_without_changes_has_heartbeats(shared_stack: Stack):
    async with router_client(shared_stack) as router:
        before = router.messages

        async def has_more() -> bool:
            return router.messages > before

        await eventually(has_more, 5.5)


async def test_a_stream_of_routes_ends_when_its_token_is_revoked(shared_stack: Stack):
    declared = yaml.safe_load(shared_stack.people.path.read_text())
    async with router_client(shared_stack) as router:
        request = pb.WatchRoutesRequest(router_id=router.id, name="other")
        (ended,) = await start_calls(refusal(drained(router.stub.WatchRoutes(request, metadata=router.token))))
        kept = [token for token in declared["tokens"] if token["id"] != "tok_runner"]

        shared_stack.people.write(declared | {"tokens": kept})
        try:
            async with asyncio.timeout(3):
                error = await ended
        finally:
            shared_stack.people.write(declared)

    assert (error.code.name, error.reason) == ("UNAUTHENTICATED", "TOKEN_INVALID")


async def drained(stream) -> None:
    """Read a stream that is expected to end soon."""
    async with asyncio.timeout(15):
        async for _ in stream:
            pass


async def test_the_deploy_service_stops_without_waiting_for_streams_of_routes(shared_stack: Stack):
    async with AsyncExitStack() as running:
        port = await running.enter_async_context(deploy_service_of(shared_stack, drain_seconds=60))
        async with router_client(shared_stack, port=port):
            async with asyncio.timeout(20):
                await running.aclose()


async def test_streams_of_routes_beyond_the_limit_are_refused(
    shared_stack: Stack, router: RouterClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(route_watch, "MOST_WATCHERS", 1)
    request = pb.WatchRoutesRequest(router_id=str(new_id()), name="x")

    error = await refusal(drained(router.stub.WatchRoutes(request, metadata=router.token)))

    assert (error.code.name, error.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_REQUESTS")


async def test_streams_of_routes_end_with_the_cause_when_the_database_does_not_answer(shared_stack: Stack):
    request = pb.WatchRoutesRequest(router_id=str(new_id()), name="x")
    loadable = pb.GetLoadableRequest(project_id=str(shared_stack.people.project), digest="0" * 64)
    async with (
        deploy_service_of(shared_stack, database_lock_seconds=0.2) as port,
        open_channel(f"127.0.0.1:{port}") as channel,
        shared_stack.database("admin", "deploy") as db,
        db.transaction(),
    ):
        await db.execute("LOCK TABLE loadables, access_keys IN ACCESS EXCLUSIVE MODE")
        stub, metadata = RoutingServiceStub(channel), shared_stack.as_("runner")

        errors = [
            await refusal(stub.GetLoadable(loadable, metadata=metadata)),
            await refusal(drained(stub.WatchRoutes(request, metadata=metadata))),
        ]

    assert {(error.code.name, error.reason) for error in errors} == {("UNAVAILABLE", "DATABASE_UNAVAILABLE")}


async def test_an_internal_error_of_a_stream_of_routes_has_no_details(
    shared_stack: Stack, router: RouterClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delattr(loadables, "find_loadable")
    request = pb.GetLoadableRequest(project_id=str(shared_stack.people.project), digest="0" * 64)

    error = await refusal(router.stub.GetLoadable(request, metadata=router.token))

    assert (error.code.name, error.reason) == ("INTERNAL", "INTERNAL")
    assert error.message == "An internal error occurred."


@pytest.mark.parametrize("token", ["viewer", "editor", "admin", "service"])
async def test_only_a_runner_may_call_the_routing_service(shared_stack: Stack, router: RouterClient, token: str):
    app, _ = await app_of(shared_stack)
    await eventually(lambda: serves(router, app["id"], app["latest_deployment_id"]))
    pin = router.routes[app["id"]].environments[0].live
    project = {"project_id": str(shared_stack.people.project)}
    metadata = shared_stack.as_(token)

    for call in (
        drained(router.stub.WatchRoutes(pb.WatchRoutesRequest(router_id=UNKNOWN, name="x"), metadata=metadata)),
        router.stub.AcknowledgeRoutes(pb.AcknowledgeRoutesRequest(router_id=router.id), metadata=metadata),
        router.stub.GetLoadable(pb.GetLoadableRequest(digest=pin.loadable_digest, **project), metadata=metadata),
        router.stub.GetVariables(
            pb.GetVariablesRequest(app_id=app["id"], environment="production", **project), metadata=metadata
        ),
        router.stub.ReportRollout(
            pb.ReportRolloutRequest(deployment_id=pin.deployment_id, up=pb.Up(digest="0" * 64), **project),
            metadata=metadata,
        ),
        router.stub.ReportDrain(
            pb.ReportDrainRequest(deployment_id=pin.deployment_id, drained=1, **project), metadata=metadata
        ),
    ):
        error = await refusal(call)
        assert (error.code.name, error.reason) == ("PERMISSION_DENIED", "ROLE_TOO_SMALL")


async def test_each_call_of_the_routing_service_names_what_it_does_not_find(shared_stack: Stack, router: RouterClient):
    project = {"project_id": str(shared_stack.people.project)}
    up, digest = pb.Up(digest="0" * 64), "0" * 64
    stub, metadata = router.stub, router.token

    for call, reason in (
        (stub.AcknowledgeRoutes(pb.AcknowledgeRoutesRequest(router_id=UNKNOWN), metadata=metadata), "ROUTER_NOT_FOUND"),
        (stub.GetLoadable(pb.GetLoadableRequest(digest=digest, **project), metadata=metadata), "LOADABLE_NOT_FOUND"),
        (
            stub.ReportRollout(pb.ReportRolloutRequest(deployment_id=UNKNOWN, up=up, **project), metadata=metadata),
            "DEPLOYMENT_NOT_FOUND",
        ),
        (
            stub.ReportDrain(pb.ReportDrainRequest(deployment_id=UNKNOWN, **project), metadata=metadata),
            "DEPLOYMENT_NOT_FOUND",
        ),
        (
            stub.ReportDrain(pb.ReportDrainRequest(project_id=UNKNOWN, deployment_id=UNKNOWN), metadata=metadata),
            "PROJECT_NOT_FOUND",
        ),
        (
            stub.GetVariables(
                pb.GetVariablesRequest(app_id=UNKNOWN, environment="production", **project), metadata=metadata
            ),
            "APP_NOT_FOUND",
        ),
        (
            stub.GetLoadable(pb.GetLoadableRequest(project_id=UNKNOWN, digest=digest), metadata=metadata),
            "PROJECT_NOT_FOUND",
        ),
    ):
        error = await refusal(call)
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, reason)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, {"up"}),
        ({"up": pb.Up(digest="AB" * 32)}, {"up.digest"}),
        ({"failed": pb.Failed(reason="because", message=" ")}, {"failed.reason", "failed.message"}),
        ({"failed": pb.Failed(reason="X", message="x" * 2001)}, {"failed.message"}),
        ({"failed": pb.Failed(reason="X")}, {"failed.message"}),
    ],
)
async def test_a_rollout_report_with_a_wrong_field_is_refused(shared_stack: Stack, router: RouterClient, fields, named):
    ids = {"project_id": str(shared_stack.people.project), "deployment_id": UNKNOWN}

    error = await refusal(router.stub.ReportRollout(pb.ReportRolloutRequest(**ids, **fields), metadata=router.token))

    assert (error.reason, set(error.fields)) == ("INVALID_REQUEST", named)


async def test_a_drain_report_with_negative_counts_is_refused(shared_stack: Stack, router: RouterClient):
    request = pb.ReportDrainRequest(
        project_id=str(shared_stack.people.project), deployment_id=UNKNOWN, drained=-1, killed=-2
    )

    error = await refusal(router.stub.ReportDrain(request, metadata=router.token))

    assert (error.reason, set(error.fields)) == ("INVALID_REQUEST", {"drained", "killed"})


async def test_the_first_drain_report_is_stored_in_the_replaced_deployment(shared_stack: Stack, router: RouterClient):
    app, workflow = await app_of(shared_stack)
    first = app["latest_deployment_id"]
    ids = {"project_id": str(shared_stack.people.project), "deployment_id": first}
    path = f"/v1/apps/{app['id']}/deployments/{first}"

    await router.stub.ReportDrain(pb.ReportDrainRequest(**ids, drained=9), metadata=router.token)
    while_live = await shared_stack.ok("GET", path)
    await shared_stack.deploy(app["id"], workflow["id"])
    for drained, killed in ((3, 1), (9, 9)):
        request = pb.ReportDrainRequest(**ids, drained=drained, killed=killed)
        await router.stub.ReportDrain(request, metadata=router.token)
    replaced = await shared_stack.ok("GET", path)

    assert "drain" not in while_live
    assert replaced["drain"] == {"drained": 3, "killed": 1, "ended_at": replaced["drain"]["ended_at"]}
    assert replaced["drain"]["ended_at"] >= replaced["live_to"]


async def test_a_runner_may_read_an_app_but_not_change_it(shared_stack: Stack):
    app, workflow = await app_of(shared_stack)
    path = f"/v1/apps/{app['id']}"

    read = await shared_stack.rest("GET", path, token="runner")

    assert read.status == 200
    for call in (
        ("POST", f"{path}/deploy", {"workflow_id": workflow["id"]}),
        ("PUT", path, {"name": "mine"}),
        ("DELETE", path),
        ("GET", f"/v1/access-keys?project_id={shared_stack.people.project}"),
    ):
        answer = await shared_stack.rest(*call, token="runner")
        assert answer.refusal[:2] == (403, "ROLE_TOO_SMALL")
