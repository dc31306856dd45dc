"""Answers while Postgres or the workflow service is down, and after it is back."""

import asyncio
import json
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import grpc
import pytest

import gateway.server
import gateway.settings
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from tests.support.crashing_postgres import CrashingPostgres, crashing_postgres
from tests.support.databases import migrate
from tests.support.stack import (
    FLOW,
    FLOW_UI,
    People,
    Stack,
    deploy_service_of,
    running_stack,
    workflow_service_of,
)
from tests.support.waiting import eventually, negated, ready, serving

pytestmark = pytest.mark.slow

AT_ONCE = 2.0
SAVE = {"flow": json.loads(FLOW), "flow_ui": json.loads(FLOW_UI)}


@pytest.fixture(scope="module")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CrashingPostgres]:
    async with crashing_postgres(tmp_path_factory.mktemp("crashing")) as server:
        yield server


@pytest.fixture(scope="module")
async def frail(postgres: CrashingPostgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack on a Postgres that can crash."""
    people = People(tmp_path_factory.mktemp("people") / "access.yaml")
    people.write()
    unstarted = Stack(people, postgres.urls)
    await migrate(postgres.urls)
    async with running_stack(unstarted) as stack:
        yield stack


async def failure_of(call: Awaitable[Any]) -> ServiceError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = ServiceError.from_rpc_error(caught.value)
    assert error.code is caught.value.code()
    return error


async def test_each_call_is_immediately_unavailable_until_postgres_is_back(postgres: CrashingPostgres, frail: Stack):
    workflow, versions = await frail.workflow(saves=1)
    app = await frail.app(workflow["id"])
    project, workflow_id, app_id = str(frail.people.project), workflow["id"], app["id"]
    calls = [
        ("GET", f"/v1/workflows?project_id={project}", None),
        ("GET", f"/v1/workflows/{workflow_id}/versions/latest", None),
        ("POST", f"/v1/workflows/{workflow_id}/save", SAVE),
        ("PUT", f"/v1/workflows/{workflow_id}", {"name": "renamed"}),
        ("DELETE", f"/v1/workflows/{workflow_id}", None),
        ("GET", f"/v1/apps/{app_id}", None),
        ("GET", f"/v1/apps/{app_id}/deployments", None),
        ("GET", "/v1/runtimes", None),
        ("POST", f"/v1/apps/{app_id}/deploy", {"workflow_id": workflow_id, "workflow_version_id": versions[0]["id"]}),
        ("POST", "/v1/apps", {"project_id": project, "name": "app", "workflow_id": workflow_id}),
        ("DELETE", f"/v1/apps/{app_id}", None),
    ]
    straight = [
        (frail.workflows.GetWorkflow, workflow_pb2.GetWorkflowRequest(workflow_id=workflow_id)),
        (frail.workflows.SaveWorkflow, workflow_pb2.SaveWorkflowRequest(
            workflow_id=workflow_id, flow={"utf8": FLOW}, flow_ui={"utf8": FLOW_UI}
        )),
        (frail.deploys.GetApp, deploy_pb2.GetAppRequest(app_id=app_id)),
        (frail.deploys.DeployApp, deploy_pb2.DeployAppRequest(app_id=app_id, workflow_id=workflow_id)),
    ]  # fmt: skip
    before = await frail.row_counts()

    await postgres.crash()
    answers, errors, seconds = [], [], []
    for method, path, body in calls:
        began = time.monotonic()
        answers.append(await frail.rest(method, path, body, headers={"Idempotency-Key": path}))
        seconds.append(time.monotonic() - began)
    for rpc, request in straight:
        began = time.monotonic()
        errors.append(await failure_of(rpc(request, metadata=frail.as_(), timeout=10)))
        seconds.append(time.monotonic() - began)
    identity = await frail.rest("GET", "/v1/me")
    for port in (frail.workflow_port, frail.deploy_port):
        await eventually(lambda port=port: negated(serving(port)), 3)
    await eventually(lambda: negated(ready(frail)), 3)

    assert [(answer.status, answer.error["code"]) for answer in answers] == [(503, "unavailable")] * len(calls)
    assert {answer.error["details"]["reason"] for answer in answers} == {"DATABASE_UNAVAILABLE"}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
    assert {(error.code, error.reason) for error in errors} == {(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")}
    assert all(error.retry_after for error in errors)
    assert max(seconds) < AT_ONCE
    assert identity.status == 200, "callers are not in the database"

    await postgres.start()
    await eventually(lambda: ready(frail), 5)

    assert await frail.row_counts() == before
    assert (await frail.save(workflow_id, "after"))["version"] == 2
    assert (await frail.deploy(app_id, workflow_id))["status"] == "succeeded"


async def test_no_answered_save_is_lost_when_postgres_crashes(postgres: CrashingPostgres, frail: Stack):
    workflow = await frail.draft()
    path, answered, refused = f"/v1/workflows/{workflow['id']}/save", {}, {}
    enough = asyncio.Event()

    async def keep_saving(name: str) -> None:
        number = 0
        while not enough.is_set():
            number += 1
            answer = await frail.rest("POST", path, {**SAVE, "description": f"{name} {number}"})
            if answer.status == 200:
                answered[answer.data["version"]] = answer.data["description"]
            else:
                refused[f"{name} {number}"] = (answer.status, answer.error["message"])

    async def crash_twice() -> None:
        for _ in range(2):
            count = len(answered)
            await eventually(lambda count=count: resolved(len(answered) > count + 20), 10)
            await postgres.crash()
            await postgres.start()
        count = len(answered)
        await eventually(lambda: resolved(len(answered) > count + 20), 10)
        enough.set()

    await asyncio.gather(crash_twice(), *(keep_saving(f"task {number}") for number in range(16)))

    listed = []
    for page in (1, 2, 3, 4):
        listed += await frail.ok("GET", f"/v1/workflows/{workflow['id']}/versions?page_size=500&page={page}")
    kept = {version["version"]: version["description"] for version in listed}
    assert sorted(kept) == list(range(1, len(kept) + 1))
    assert {number: kept[number] for number in answered} == answered
    assert {status for status, _ in refused.values()} == {503}
    unchanged = {save for save, (_, message) in refused.items() if "Nothing was changed" in message}
    assert unchanged
    assert not unchanged & set(kept.values())


async def test_health_is_right_through_restarts_of_postgres_and_no_caller_gets_an_internal_error(
    postgres: CrashingPostgres, frail: Stack
):
    workflow, _ = await frail.workflow()
    app = await frail.app(workflow["id"])
    statuses, enough = Counter(), asyncio.Event()
    ports = (frail.workflow_port, frail.deploy_port)

    async def keep_calling(method: str, path: str, body: Any = None) -> None:
        while not enough.is_set():
            statuses[(await frail.rest(method, path, body)).status] += 1
            await asyncio.sleep(0.005)

    async def are_serving(wanted: bool) -> bool:
        return [await serving(port) for port in ports] == [wanted, wanted]

    async def restart_often() -> None:
        for number in range(6):
            await eventually(lambda: are_serving(True), 3)
            await postgres.stop(signal.SIGINT if number % 2 else signal.SIGQUIT)
            await eventually(lambda: are_serving(False), 2)
            await postgres.start()
        await eventually(lambda: are_serving(True), 3)
        enough.set()

    versions, apps = f"/v1/workflows/{workflow['id']}", f"/v1/apps/{app['id']}"
    await asyncio.gather(
        restart_often(),
        *(keep_calling("GET", f"{versions}/versions/latest") for _ in range(6)),
        *(keep_calling("GET", f"{versions}/versions") for _ in range(6)),
        *(keep_calling("POST", f"{versions}/save", SAVE) for _ in range(4)),
        *(keep_calling("POST", f"{apps}/deploy", {"workflow_id": workflow["id"]}) for _ in range(4)),
    )

    assert set(statuses) == {200, 201, 503}


async def test_a_read_only_postgres_is_reported_and_still_read(postgres: CrashingPostgres, frail: Stack):
    workflow, _ = await frail.workflow()
    path = f"/v1/workflows/{workflow['id']}"

    async with altered(postgres, "SYSTEM SET default_transaction_read_only = on", "SYSTEM RESET ALL"):
        refused = [
            await frail.rest("POST", f"{path}/save", SAVE),
            await frail.rest("POST", f"{path}/save", SAVE, headers={"Idempotency-Key": "read-only"}),
            await frail.rest("PUT", path, {"name": "renamed"}),
        ]
        read = await frail.rest("GET", path)

    assert [(answer.status, answer.error["details"]["reason"]) for answer in refused] == [
        (503, "DATABASE_UNAVAILABLE")
    ] * 3
    assert {answer.error["message"] for answer in refused} == {
        "The database is read-only right now. Nothing was changed. Try again shortly."
    }
    assert read.status == 200
    assert (await frail.save(workflow["id"], "after"))["version"] == 2


async def test_a_postgres_without_a_free_connection_is_reported(postgres: CrashingPostgres, frail: Stack):
    workflow, _ = await frail.workflow()

    limit = "ROLE flowpin_workflow CONNECTION LIMIT"
    async with altered(postgres, f"{limit} 0", f"{limit} -1") as admin:
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'flowpin_workflow'")
        await asyncio.sleep(0.1)
        answer = await frail.rest("PUT", f"/v1/workflows/{workflow['id']}", {"name": "renamed"})

    assert answer.status == 503
    assert answer.error["message"] == (
        "The database accepts no more connections right now. Nothing was changed. Try again shortly."
    )


@asynccontextmanager
async def altered(postgres: CrashingPostgres, change: str, back: str) -> AsyncIterator[asyncpg.Connection]:
    """With `ALTER <change>` in effect until the block ends."""
    admin = await asyncpg.connect(postgres.cluster.url(), server_settings={"default_transaction_read_only": "off"})

    async def alter(what: str) -> None:
        await admin.execute(f"ALTER {what}")
        await admin.execute("SELECT pg_reload_conf()")
        await asyncio.sleep(0.2)

    try:
        await alter(change)
        yield admin
    finally:
        await alter(back)
        await admin.close()


async def resolved(value: bool) -> bool:
    return value


@asynccontextmanager
async def without_workflow_service(stack: Stack) -> AsyncIterator[Stack]:
    """A deploy service and a gateway for the same data, with an unreachable workflow service."""
    async with AsyncExitStack() as running:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        alone = replace(stack, workflow_port=port)
        alone.deploy_port = await running.enter_async_context(deploy_service_of(alone))
        settings = gateway.settings.Settings(
            listen="127.0.0.1:0",
            workflow_target=f"127.0.0.1:{port}",
            deploy_target=f"127.0.0.1:{alone.deploy_port}",
            drain_seconds=0,
        )
        alone.gateway_port = await running.enter_async_context(gateway.server.running_gateway(settings))
        yield alone


async def test_apps_and_history_read_while_the_workflow_service_is_down_and_its_routes_are_503(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    workflow_id, app_id = workflow["id"], app["id"]

    async with without_workflow_service(stack) as alone:
        before = await alone.row_counts()
        began = time.monotonic()
        refused = [
            await alone.rest("GET", f"/v1/workflows/{workflow_id}"),
            await alone.rest("POST", f"/v1/workflows/{workflow_id}/save", SAVE),
            await alone.rest("GET", "/v1/me"),
            await alone.rest("POST", f"/v1/apps/{app_id}/deploy", {"workflow_id": workflow_id}),
            await alone.rest(
                "POST", f"/v1/apps/{app_id}/deploy",
                {"workflow_id": workflow_id, "workflow_version_id": versions[1]["id"]},
            ),
            await alone.rest("POST", "/v1/apps", {
                "project_id": str(stack.people.project), "name": "new", "workflow_id": workflow_id
            }),
        ]  # fmt: skip
        seconds = time.monotonic() - began
        unchanged = await alone.row_counts()
        read = [
            await alone.rest("GET", f"/v1/apps?project_id={stack.people.project}"),
            await alone.rest("GET", f"/v1/apps/{app_id}"),
            await alone.rest("GET", f"/v1/apps/{app_id}/deployments"),
            await alone.rest("GET", "/v1/runtimes"),
        ]
        again = await alone.deploy(app_id, workflow_id, workflow_version_id=versions[0]["id"])
        was_ready = await ready(alone)
        async with workflow_service_of(alone, port=alone.workflow_port):
            await eventually(lambda: ready(alone), 5)
            newest = await alone.deploy(app_id, workflow_id)

    assert [answer.status for answer in refused] == [503] * len(refused)
    assert [answer.error["details"]["reason"] for answer in refused] == (
        ["SERVICE_UNAVAILABLE"] * 3 + ["WORKFLOW_SERVICE_UNAVAILABLE"] * 3
    )
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert seconds < AT_ONCE * len(refused)
    assert unchanged == before
    assert [answer.status for answer in read] == [200] * len(read)
    assert again["status"] == "succeeded", "a version that was live deploys without the workflow service"
    assert not was_ready
    assert newest["workflow_version_id"] == versions[1]["id"]
