"""Runs are recorded without delaying calls, and listed for callers who see the app."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

import gateway.settings
import run_service.roles
from gateway.server import running_gateway
from service_kit.access.file import Role
from service_kit.ids import new_id
from service_kit.pb.flowpin.run.v1 import run_pb2 as pb
from tests.support.apps.world import KEY, Apps, running_apps
from tests.support.refusals import refusal
from tests.support.waiting import eventually


async def listed(apps: Apps, count: int, **asked: Any) -> list[pb.Run]:
    """The runs of the app, newest first. Waits until there are `count`."""
    request = pb.ListAppRunsRequest(app_id=str(apps.app.app_id), **asked)
    found: list[pb.Run] = []

    async def are_there() -> bool:
        answer = await apps.runs.ListAppRuns(request, metadata=apps.as_())
        found[:] = answer.data
        return len(found) == count and all(run.HasField("ended_at") for run in found)

    await eventually(are_there)
    return found


async def test_each_run_is_recorded_as_it_ended(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, seconds=0.3) as apps:
        answer = await apps.call({"a": 1})
        await apps.call({"fail": True})
        await apps.call({"sleep": 9})
        hanging = asyncio.create_task(apps.call({"sleep": 9}))
        await asyncio.sleep(0.1)
        hanging.cancel()
        canceled, late, failed, completed = await listed(apps, 4)

    statuses = [pb.RunStatus.Name(run.status) for run in (canceled, late, failed, completed)]
    assert statuses == [f"RUN_STATUS_{name}" for name in ("CANCELED", "FAILED", "FAILED", "COMPLETED")]
    assert completed.id == answer.body["id"]
    assert (completed.app_id, completed.environment) == (str(apps.app.app_id), "production")
    assert (completed.deployment_id, completed.version) == (apps.live.deployment_id, 1)
    assert completed.workflow_version_id == apps.live.version_id
    assert (completed.access_key.preview, completed.HasField("error"), completed.stream) == (
        KEY[:14] + "…",
        False,
        False,
    )
    assert (failed.error.code, failed.error.message, failed.error.node) == (
        "run_failed",
        "division by zero",
        "calculator",
    )
    assert late.error.code == "timeout"
    assert (
        completed.started_at.ToDatetime() <= completed.ended_at.ToDatetime() <= datetime.now(UTC).replace(tzinfo=None)
    )


async def test_a_long_run_is_listed_while_it_runs(apps: Apps):
    running = asyncio.create_task(apps.call({"sleep": 1.5}))

    async def is_listed() -> bool:
        request = pb.ListAppRunsRequest(app_id=str(apps.app.app_id), status=pb.RUN_STATUS_STARTED)
        return len((await apps.runs.ListAppRuns(request, metadata=apps.as_())).data) == 1

    await eventually(is_listed)
    await running
    [run] = await listed(apps, 1)
    assert run.status == pb.RUN_STATUS_COMPLETED


async def test_a_refused_call_is_not_recorded_as_a_run(apps: Apps):
    await apps.call(key=None)
    await apps.call(body=b"[]")
    await apps.call()

    assert len(await listed(apps, 1)) == 1


async def test_runs_are_filtered_sorted_and_paged(apps: Apps):
    answers = [await apps.call({"fail": number == 1}) for number in range(3)]
    ids = [run.id for run in await listed(apps, 3)]

    async def found(**asked: Any) -> list[str]:
        request = pb.ListAppRunsRequest(app_id=str(apps.app.app_id), **asked)
        return [run.id for run in (await apps.runs.ListAppRuns(request, metadata=apps.as_())).data]

    started = (await apps.runs.GetRun(pb.GetRunRequest(run_id=ids[1]), metadata=apps.as_())).data.started_at
    assert [answers[0].body["id"], answers[2].body["id"]] == [ids[2], ids[0]]
    assert await found(status=pb.RUN_STATUS_FAILED) == [ids[1]]
    assert await found(deployment_id=apps.live.deployment_id) == ids
    assert await found(deployment_id=str(new_id())) == []
    assert await found(sort="started_at") == ids[::-1]
    assert await found(started_at=pb.TimeFilter(gte=started)) == ids[:2]
    assert await found(started_at=pb.TimeFilter(lt=started)) == ids[2:]
    assert await found(page=2, page_size=2) == ids[2:]
    assert await found(page=9) == []


async def test_the_runs_of_a_deleted_app_are_still_listed(apps: Apps):
    await apps.call()
    await listed(apps, 1)
    await apps.routing.delete(apps.app)

    assert len(await listed(apps, 1)) == 1


async def test_wrong_filters_of_runs_are_named(shared_apps: Apps):
    request = pb.ListAppRunsRequest(app_id=str(shared_apps.app.app_id), page=0, sort="colour")
    wrong = await refusal(shared_apps.runs.ListAppRuns(request, metadata=shared_apps.as_()))
    request = pb.ListAppRunsRequest(app_id=str(shared_apps.app.app_id), status=9)
    unknown = await refusal(shared_apps.runs.ListAppRuns(request, metadata=shared_apps.as_()))
    malformed = await refusal(shared_apps.runs.GetRun(pb.GetRunRequest(run_id="x"), metadata=shared_apps.as_()))

    assert [(each.code.name, each.reason) for each in (wrong, unknown, malformed)] == [
        ("INVALID_ARGUMENT", "INVALID_REQUEST")
    ] * 3
    assert (wrong.fields.keys(), unknown.fields.keys()) == ({"page", "sort"}, {"status"})


async def test_a_stranger_finds_neither_the_app_nor_its_runs(shared_apps: Apps):
    answer = await shared_apps.call()
    await listed(shared_apps, 1)

    async def refusals(app_id: str, run_id: str) -> list[tuple[str, str]]:
        metadata = shared_apps.as_("stranger")
        errors = [
            await refusal(shared_apps.runs.ListAppRuns(pb.ListAppRunsRequest(app_id=app_id), metadata=metadata)),
            await refusal(shared_apps.runs.GetRun(pb.GetRunRequest(run_id=run_id), metadata=metadata)),
        ]
        return [(error.code.name, error.reason) for error in errors]

    assert (
        await refusals(str(shared_apps.app.app_id), answer.body["id"])
        == await refusals(str(new_id()), str(new_id()))
        == [("NOT_FOUND", "APP_NOT_FOUND"), ("NOT_FOUND", "RUN_NOT_FOUND")]
    )


RPCS = {
    f"/{service.full_name}/{method.name}": method
    for service in run_service.roles.SERVICES
    for method in service.methods
}


def test_the_role_table_of_the_run_service_lists_exactly_its_rpcs():
    assert run_service.roles.ROLES.keys() == RPCS.keys()
    names = {rpc.rpartition("/")[2]: role for rpc, role in run_service.roles.ROLES.items()}
    assert {name for name, role in names.items() if role is Role.EDITOR} == {"InvokeApp", "TestWorkflow", "TestVersion"}
    assert set(names.values()) == {Role.VIEWER, Role.EDITOR}


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_the_run_service_refuses_a_call_without_a_valid_token(shared_apps: Apps, rpc: str):
    for metadata in ((), (("authorization", "Bearer dyn_pat_wrong"),), (("authorization", f"Bearer {KEY}"),)):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{shared_apps.grpc_port}") as channel:
            call = channel.unary_unary(rpc, GetMessageClass(RPCS[rpc].input_type).SerializeToString)
            error = await refusal(call(GetMessageClass(RPCS[rpc].input_type)(), metadata=metadata))

        assert (error.code.name, error.reason) == ("UNAUTHENTICATED", "TOKEN_INVALID")


async def test_a_viewer_may_ping_the_run_service(shared_apps: Apps):
    assert await shared_apps.runs.Ping(pb.PingRequest(), metadata=shared_apps.as_()) == pb.PingResponse()


@asynccontextmanager
async def locked_runs(apps: Apps) -> AsyncIterator[None]:
    connection = await asyncpg.connect(apps.urls["admin"], server_settings={"search_path": "run"})
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


async def test_calls_of_apps_wait_neither_for_the_database_nor_for_lists_of_runs(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, max_calls=1, database_lock_seconds=0.5) as apps:
        await apps.call()
        request = pb.ListAppRunsRequest(app_id=str(new_id()))
        async with locked_runs(apps):
            waiting = asyncio.create_task(refusal(apps.runs.ListAppRuns(request, metadata=apps.as_())))
            await asyncio.sleep(0.2)
            refused = await refusal(apps.runs.ListAppRuns(request, metadata=apps.as_()))
            called = await apps.call()
            unavailable = await waiting

        assert (refused.code.name, refused.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_REQUESTS")
        assert (unavailable.code.name, unavailable.reason) == ("UNAVAILABLE", "DATABASE_UNAVAILABLE")
        assert called.status == 200
        await listed(apps, 2)


async def test_runs_over_rest_are_the_json_of_the_contract(apps: Apps):
    answer = await apps.call()
    await listed(apps, 1)
    settings = gateway.settings.Settings(
        listen="127.0.0.1:0", drain_seconds=0, run_target=f"127.0.0.1:{apps.grpc_port}"
    )
    as_viewer = {"key": apps.people.secret("viewer"), "method": "GET"}
    async with running_gateway(settings) as port:
        root = f"http://127.0.0.1:{port}/v1"
        page = await apps.call(url=f"{root}/apps/{apps.app.app_id}/runs?status=completed", **as_viewer)
        one = await apps.call(url=f"{root}/runs/{answer.body['id']}", **as_viewer)
        none = await apps.call(url=f"{root}/runs/{new_id()}", **as_viewer)

    assert (page.status, one.status, none.status) == (200, 200, 404)
    assert page.data == [one.data]
    assert page.body["pagination"]["total_count"] == 1
    assert (one.data["status"], one.data["version"], one.data["stream"]) == ("completed", 1, False)


async def test_the_gateway_without_a_run_service_answers_calls_for_runs_with_501(apps: Apps):
    async with running_gateway(gateway.settings.Settings(listen="127.0.0.1:0", drain_seconds=0)) as port:
        answer = await apps.call(url=f"http://127.0.0.1:{port}/v1/runs/{new_id()}", method="GET")

    assert (answer.status, answer.error["code"]) == (501, "not_implemented")
