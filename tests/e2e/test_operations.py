"""Operating it: tokens take effect in every process, a request can be followed in logs, no secret is logged."""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import aiohttp
import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

import deploy_service.settings
import gateway.settings
import workflow_service.settings
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2, deploy_pb2_grpc
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2, workflow_pb2_grpc
from service_kit.settings import variable
from tests.support.paths import ROOT
from tests.support.up_caller import Caller
from tests.support.up_process import Up
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

FLOW = {"nodes": [{"id": "a", "type": "x.Y"}]}
UNKNOWN = "dyn_pat_" + "u" * 40
TWO_SECONDS = 2.0


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    up = Up(tmp_path_factory.mktemp("operations") / "data").start()
    yield up.ready()
    up.end()


@pytest.fixture
async def person(run: Up) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        yield Caller(run.env, session)


def flowpin(run: Up, *words: str) -> str:
    command = [sys.executable, "-P", "-m", "flowpin_cli", *words, "--data", str(run.data)]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def new_token(run: Up, person: Caller, role: str) -> tuple[str, Caller]:
    """The token's id, and a caller that sends it."""
    email = next(user["email"] for user in access(run)["users"] if "email" in user)
    secret = flowpin(run, "token", "new", "--user", email, "--project", person.project, "--role", role)
    return access(run)["tokens"][-1]["id"], Caller(person.env, person.session, secret)


def access(run: Up) -> dict[str, Any]:
    return yaml.safe_load((run.data / "access.yaml").read_text())


async def refusing(caller: Caller) -> set[str]:
    """The interfaces that refuse the token: each service over REST and over gRPC."""
    refused = set()
    for path in (f"/v1/workflows?project_id={caller.project}", f"/v1/apps?project_id={caller.project}"):
        answer = await caller.rest("GET", path)
        assert answer.status in (200, 401)
        if answer.status == 401:
            refused.add(path)
    async with caller.channel("workflow") as workflow, caller.channel("deploy") as deploy:
        for call, request in (
            (workflow_pb2_grpc.WorkflowServiceStub(workflow).ListWorkflows, workflow_pb2.ListWorkflowsRequest),
            (deploy_pb2_grpc.DeployServiceStub(deploy).ListApps, deploy_pb2.ListAppsRequest),
        ):
            try:
                await call(request(project_id=caller.project), metadata=caller.metadata)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                    raise
                refused.add(request.__name__)
    return refused


async def within_two_seconds(caller: Caller, *, refused_by: int) -> bool:
    """Whether that many interfaces refuse the token within two seconds."""
    deadline = time.monotonic() + TWO_SECONDS
    while len(await refusing(caller)) != refused_by:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


async def test_a_new_token_works_within_two_seconds_in_every_process(run: Up, person: Caller):
    _, viewer = new_token(run, person, "viewer")

    assert await within_two_seconds(viewer, refused_by=0)


async def test_a_revoked_token_is_refused_within_two_seconds_by_every_process(run: Up, person: Caller):
    token_id, editor = new_token(run, person, "editor")
    assert await within_two_seconds(editor, refused_by=0)

    flowpin(run, "token", "revoke", token_id)

    assert await within_two_seconds(editor, refused_by=4)
    assert not await refusing(person)


async def test_a_new_token_is_limited_to_its_role_and_its_project(run: Up, person: Caller):
    other = declare_project(run)
    _, editor = new_token(run, person, "editor")
    assert await within_two_seconds(editor, refused_by=0)
    draft = {"name": "flow", "flow": FLOW, "flow_ui": {}}
    workflow = await editor.ok("POST", "/v1/workflows", {**draft, "project_id": person.project})
    await editor.ok("POST", f"/v1/workflows/{workflow['id']}/save", draft)
    theirs = await person.ok("POST", "/v1/workflows", {**draft, "project_id": other})

    refused = [
        await editor.rest("DELETE", f"/v1/workflows/{workflow['id']}"),
        await editor.rest("POST", "/v1/workflows", {**draft, "project_id": other}),
        await editor.rest("GET", f"/v1/apps?project_id={other}"),
        await editor.rest("GET", f"/v1/workflows/{theirs['id']}"),
    ]

    assert [answer.status for answer in refused] == [403, 404, 404, 404]
    assert [project["id"] for project in await editor.ok("GET", "/v1/projects")] == [person.project]


def declare_project(run: Up) -> str:
    path, project = run.data / "access.yaml", str(uuid4())
    row = f"  - id: {project}\n    name: other\n    org_id: {run.env['FLOWPIN_ORG_ID']}\n"
    path.write_text(path.read_text().replace("\nusers:", f"{row}\nusers:", 1))
    return project


async def test_a_request_can_be_followed_through_all_three_processes(run: Up, person: Caller):
    draft = {"project_id": person.project, "name": "flow", "flow": FLOW, "flow_ui": {}}
    workflow = await person.ok("POST", "/v1/workflows", draft)
    await person.ok("POST", f"/v1/workflows/{workflow['id']}/save", draft)
    app = {"project_id": person.project, "name": "app", "workflow_id": workflow["id"]}
    request_id = f"follow-{uuid4()}"

    answer = await person.rest("POST", "/v1/apps", app, x_request_id=request_id)

    assert answer.status == 201
    assert answer.headers["X-Request-Id"] == request_id
    lines = {name: logged(run, name, request_id) for name in ("gateway", "deploy", "workflow")}
    assert [(line["event"], line["route"], line["status"]) for line in lines["gateway"]] == [
        ("request_handled", "/v1/apps", 201)
    ]
    for name, rpc in (("deploy", "CreateApp"), ("workflow", "ResolveVersion")):
        assert [(line["rpc"].rpartition("/")[2], line["code"]) for line in lines[name]] == [(rpc, "OK")]
        assert lines[name][0]["duration_ms"] > 0
    assert lines["deploy"][0]["principal"] == (await person.ok("GET", "/v1/me"))["id"]
    assert lines["workflow"][0]["principal"] != lines["deploy"][0]["principal"], (
        "services call each other as themselves"
    )


def logged(run: Up, name: str, request_id: str) -> list[dict[str, Any]]:
    """Wait for log lines of one process about one request."""
    log = run.data / "logs" / f"{name}.log"
    wait_until(lambda: request_id in log.read_text(), 5)
    return [json.loads(line) for line in log.read_text().splitlines() if request_id in line]


async def test_no_token_and_no_stack_trace_is_in_any_log(run: Up, person: Caller):
    token_id, editor = new_token(run, person, "editor")
    await within_two_seconds(editor, refused_by=0)
    for caller in (person, editor, Caller(person.env, person.session, UNKNOWN)):
        await caller.rest("POST", f"/v1/workflows/{uuid4()}/save", b"{")
        await caller.rest("POST", "/v1/workflows", {"name": caller.token, "flow": {}, "project_id": caller.token})
        await caller.rest("GET", f"/v1/apps/{uuid4()}")
        await refusing(caller)

    # The logs name the token's id.
    wait_until(lambda: token_id in (run.data / "logs" / "workflow.log").read_text(), 5)
    logs = {path.name: path.read_text() for path in (run.data / "logs").iterdir()}

    assert {"gateway.log", "deploy.log", "workflow.log"} <= logs.keys()
    assert [name for name, text in logs.items() if "dyn_pat_" in text] == []
    assert [name for name, text in logs.items() if "Traceback" in text] == []


async def test_grpc_health_and_reflection_answer_without_a_token(person: Caller):
    for service, package in (
        ("workflow", "flowpin.workflow.v1.WorkflowService"),
        ("deploy", "flowpin.deploy.v1.DeployService"),
    ):
        async with person.channel(service) as channel:
            health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            asked = reflection_pb2.ServerReflectionRequest(list_services="")
            listed = await anext(aiter(reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo([asked])))

        assert health.status == health_pb2.HealthCheckResponse.SERVING
        assert package in [each.name for each in listed.list_services_response.service]


@pytest.mark.parametrize(
    ("module", "settings"),
    [
        ("workflow_service", workflow_service.settings.Settings),
        ("deploy_service", deploy_service.settings.Settings),
        ("gateway", gateway.settings.Settings),
    ],
)
def test_the_help_of_a_service_describes_every_setting(module: str, settings: Any):
    words = [sys.executable, "-m", module, "--help"]

    text = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    for name, setting in settings.model_fields.items():
        assert re.search(rf"\b{variable(settings.model_config['env_prefix'], name, setting)} \(", text), name
        assert setting.description
        assert " ".join(setting.description.split()) in text
