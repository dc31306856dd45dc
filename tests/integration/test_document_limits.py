"""Documents that exceed the limits of a worker process are refused. Usual documents need no worker."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from tests.support.conflicts import flow, save
from tests.support.hostile_documents import CONFIGS, FLOWS
from tests.support.refusals import refusal
from tests.support.stack import FLOW, FLOW_UI, Stack, running_stack
from tests.support.up_process import command_line
from tests.support.waiting import eventually
from tests.support.workflows import body_of, save_request

pytestmark = pytest.mark.slow


HEAVY = FLOWS["objects"](450_000)
JSON, EMPTY = pb.Json(utf8=HEAVY), pb.Json(utf8=b"{}")
CPU_SECONDS = 0.004

CALLS: dict[str, Callable[[str, str], Any]] = {
    "CreateWorkflow": lambda project, _: pb.CreateWorkflowRequest(
        project_id=project, name="n", flow=JSON, flow_ui=EMPTY
    ),
    "SaveWorkflow": lambda _, workflow: save_request(workflow, HEAVY, b"{}"),
    "ReleaseWorkflow": lambda _, workflow: pb.ReleaseWorkflowRequest(
        workflow_id=workflow, name="n", flow=JSON, flow_ui=EMPTY
    ),
    "ForkWorkflow": lambda _, workflow: pb.ForkWorkflowRequest(
        workflow_id=workflow, name="n", flow=JSON, flow_ui=EMPTY
    ),
    "ImportWorkflow": lambda project, _: pb.ImportWorkflowRequest(
        project_id=project, name="n", config=CONFIGS["levels"](100_000)
    ),
    "ValidateFlow": lambda *_: pb.ValidateFlowRequest(flow=JSON),
    "ExportWorkflow": lambda project, _: pb.ExportWorkflowRequest(project_id=project, flow=JSON),
    "ExportVersion": lambda _, workflow: pb.ExportVersionRequest(workflow_id=workflow, version="1"),
    "RenderFlow": lambda project, _: pb.RenderFlowRequest(project_id=project, flow=JSON),
    "RenderVersion": lambda _, workflow: pb.RenderVersionRequest(workflow_id=workflow, version="1"),
    "DiffVersions": lambda _, workflow: pb.DiffVersionsRequest(workflow_id=workflow, version="1", other="2"),
}


def workers() -> list[int]:
    """The ids of the worker processes of this process, which runs the services."""
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    pids = [int(pid) for of_thread in children for pid in of_thread.read_text().split()]
    return [pid for pid in pids if "service_kit.workers" in command_line(pid)]


async def workflow_with(stack: Stack, *flows: bytes) -> str:
    workflow_id = str((await stack.draft())["id"])
    for content in flows:
        await stack.workflows.SaveWorkflow(save_request(workflow_id, content, b"{}"), metadata=stack.as_())
    return workflow_id


async def test_each_call_with_a_too_complex_document_is_refused_and_changes_nothing(unstarted: Stack):
    async with running_stack(unstarted) as stack:
        workflow = await workflow_with(stack, HEAVY, FLOWS["objects"](450_100))
        await stack.stop_workflow_service()
        await stack.start_workflow_service(worker_cpu_seconds=CPU_SECONDS)
        before = await stack.row_counts()

        for method, request_of in CALLS.items():
            request = request_of(str(stack.people.project), workflow)
            call = getattr(stack.workflows, method)(request, metadata=stack.as_(), wait_for_ready=True)
            error = await refusal(call)

            assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "DOCUMENT_TOO_COMPLEX"), method
            assert "takes more than 0.004 seconds of CPU time or 1024 MiB of memory" in error.message
        over_rest = await stack.rest("POST", f"/v1/workflows/{workflow}/save", body_of(HEAVY, b"{}"))
        assert (over_rest.status, over_rest.error["details"]["reason"]) == (400, "DOCUMENT_TOO_COMPLEX")
        assert await stack.row_counts() == before


async def test_the_gateway_refuses_a_body_that_is_too_complex(unstarted: Stack):
    async with running_stack(unstarted, front={"worker_cpu_seconds": CPU_SECONDS}) as stack:
        workflow = await workflow_with(stack, FLOW)

        answer = await stack.rest("POST", f"/v1/workflows/{workflow}/save", body_of(FLOWS["levels"](5_000_000), b"{}"))

        assert (answer.status, answer.error["details"]["reason"]) == (400, "DOCUMENT_TOO_COMPLEX")
        assert (await save(stack, workflow, flow(a=1))).status == 200


async def test_a_version_that_is_too_complex_to_validate_deploys_with_a_warning(unstarted: Stack):
    async with running_stack(unstarted, workflow={"worker_cpu_seconds": 0.1}) as stack:
        workflow = await workflow_with(stack, FLOWS["objects"](500_000))

        app = await stack.app(workflow)
        plan = await stack.ok("POST", f"/v1/apps/{app['id']}/deploy/plan", {"workflow_id": workflow})

        assert [warning.partition(":")[0] for warning in plan["warnings"]] == ["flow The document is too complex"]


async def test_a_lost_worker_fails_its_own_call_only(unstarted: Stack):
    async with running_stack(unstarted) as stack:
        request = pb.ExportWorkflowRequest(project_id=str(stack.people.project), flow=JSON)

        export = asyncio.ensure_future(stack.workflows.ExportWorkflow(request, metadata=stack.as_(), timeout=20))
        await eventually(one_works, 10)
        os.kill(workers()[0], signal.SIGKILL)

        error = await refusal(export)
        assert (error.code.name, error.reason, error.retry_after) == ("UNAVAILABLE", "WORKER_LOST", 1)
        assert (await stack.workflows.ExportWorkflow(request, metadata=stack.as_())).data.data


async def one_works() -> bool:
    return bool(workers())


async def test_usual_documents_start_no_worker(stack: Stack):
    before = set(workers())
    workflow, versions = await stack.workflow(saves=2)
    path = f"/v1/workflows/{workflow['id']}"

    for method, call, body in (
        ("POST", "/v1/workflows/validate", b'{"flow": ' + FLOW + b"}"),
        ("GET", f"{path}/versions/1/diff/2", None),
        ("GET", f"{path}/versions/1/export", None),
        ("POST", f"{path}/fork", {"name": "fork"}),
    ):
        assert (await stack.rest(method, call, body)).status < 300, call
    conflict = await save(stack, workflow["id"], flow(a=1), versions[0]["id"])
    app = await stack.app(workflow["id"])

    assert conflict.status == 409
    assert app["workflow_version"]["version"] == 2
    assert set(workers()) == before


@pytest.mark.parametrize("call", ["a conflict", "a fork of a draft"])
async def test_no_database_connection_is_used_while_a_worker_reads_a_document(unstarted: Stack, call: str):
    async with running_stack(unstarted, workflow={"pool_size": 1}) as stack:
        workflow = await workflow_with(stack, HEAVY)
        base = (await stack.ok("GET", f"/v1/workflows/{workflow}"))["latest_version"]["id"]
        await stack.workflows.SaveWorkflow(save_request(workflow, HEAVY[:-1] + b" }", b"{}"), metadata=stack.as_())
        draft = pb.CreateWorkflowRequest(project_id=str(stack.people.project), name="n", flow=JSON, flow_ui=EMPTY)
        draft_id = (await stack.workflows.CreateWorkflow(draft, metadata=stack.as_())).data.id
        requests: dict[str, Any] = {
            "a conflict": save_request(workflow, FLOW, FLOW_UI, base_version_id=base),
            "a fork of a draft": pb.ForkWorkflowRequest(workflow_id=draft_id, name="f"),
        }
        rpcs = {"a conflict": stack.workflows.SaveWorkflow, "a fork of a draft": stack.workflows.ForkWorkflow}
        for pid in workers():
            os.kill(pid, signal.SIGSTOP)

        working = asyncio.ensure_future(rpcs[call](requests[call], metadata=stack.as_()))
        await asyncio.sleep(0.5)
        read = await asyncio.wait_for(stack.rest("GET", f"/v1/workflows/{draft_id}"), 5)
        was_working = not working.done()
        for pid in workers():
            os.kill(pid, signal.SIGCONT)

        assert read.status == 200
        assert was_working
        if call == "a conflict":
            assert (await refusal(working)).reason == "VERSION_CONFLICT"
        else:
            assert (await working).data.name == "f"
