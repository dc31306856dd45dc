"""A deploy service that is killed in mid-rollout: the next one ends what it left behind."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from deploy_fixtures import eventually

from service_kit.channel import open_channel
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from service_kit.pb.flowpin.deploy.v1.deploy_pb2_grpc import DeployServiceStub
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from service_kit.pb.flowpin.workflow.v1.workflow_pb2_grpc import WorkflowServiceStub
from tests.stack import FLOW, FLOW_UI, Stack, migrate

# The second deployment of an app is up after two seconds, further ones never.
SCRIPT = "ok,delay:2,delay:600"


@asynccontextmanager
async def deploy_service_process(stack: Stack) -> AsyncIterator[tuple[asyncio.subprocess.Process, DeployServiceStub]]:
    """`python -m deploy_service serve` on the stack's schema, once it listens; killed in the end."""
    environment = {
        "DEPLOY_LISTEN": "127.0.0.1:0",
        "DEPLOY_DATABASE_URL": stack.urls["flowpin_deploy"],
        "DEPLOY_ACCESS_FILE": str(stack.people.path),
        "DEPLOY_WORKFLOW_TARGET": f"127.0.0.1:{stack.workflow_port}",
        "DEPLOY_WORKFLOW_TOKEN": stack.people.secret("service"),
        "DEPLOY_ROLLOUT_DRIVER": "scripted",
        "DEPLOY_ROLLOUT_SCRIPT": SCRIPT,
        "DEPLOY_LOG_FORMAT": "json",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy_service", "serve", env={**os.environ, **environment},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with open_channel(await listening(process)) as channel:
            yield process, DeployServiceStub(channel)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def listening(process: asyncio.subprocess.Process) -> str:
    async for line in process.stderr:
        if (entry := json.loads(line))["event"] == "listening":
            return entry["address"]
    raise AssertionError("the deploy service ended before it listened")


@pytest.fixture
async def stack(unstarted: Stack) -> AsyncIterator[Stack]:
    """The workflow service alone, in a database whose schemas have the names that processes know."""
    async with unstarted.database("admin", "deploy") as db:
        await db.execute("CREATE DATABASE killed")
    urls = {role: url.replace("/flowpin?", "/killed?") for role, url in unstarted.urls.items()}
    stack = Stack(unstarted.people, urls, {"workflow": "workflow", "deploy": "deploy"})
    await migrate(urls, stack.schemas)
    await stack.start_workflow_service()
    yield stack
    await stack.stop_workflow_service()


async def released_workflow(stack: Stack) -> str:
    async with open_channel(f"127.0.0.1:{stack.workflow_port}") as channel:
        workflows = WorkflowServiceStub(channel)
        documents = {"flow": workflow_pb2.Json(utf8=FLOW), "flow_ui": workflow_pb2.Json(utf8=FLOW_UI)}
        draft = workflow_pb2.CreateWorkflowRequest(project_id=str(stack.people.project), name="flow", **documents)
        workflow_id = (await workflows.CreateWorkflow(draft, metadata=stack.as_())).data.id
        await workflows.SaveWorkflow(
            workflow_pb2.SaveWorkflowRequest(workflow_id=workflow_id, **documents), metadata=stack.as_()
        )
    return workflow_id


async def statuses(stack: Stack, deploys: DeployServiceStub, app_id: str) -> list[tuple[str, bool, str]]:
    """Status, live and error code of an app's deployments, oldest first."""
    request = pb.ListDeploymentsRequest(app_id=app_id, sort="started_at")
    rows = (await deploys.ListDeployments(request, metadata=stack.as_())).data
    return [
        (pb.DeploymentStatus.Name(row.status).removeprefix("DEPLOYMENT_STATUS_"), row.live, row.error.code)
        for row in rows
    ]


async def test_after_kill_9_in_mid_rollout_each_has_succeeded_or_failed_within_five_seconds(stack: Stack):
    workflow_id = await released_workflow(stack)
    new = pb.CreateAppRequest(project_id=str(stack.people.project), name="app", workflow_id=workflow_id)
    async with deploy_service_process(stack) as (process, deploys):
        app = (await deploys.CreateApp(new, metadata=stack.as_())).data

        async def has(*expected: str) -> bool:
            return [status for status, _, _ in await statuses(stack, deploys, app.id)] == list(expected)

        await eventually(lambda: has("SUCCEEDED"))
        for _ in range(2):
            again = pb.DeployAppRequest(app_id=app.id, workflow_id=workflow_id)
            await deploys.DeployApp(again, metadata=stack.as_())
        await eventually(lambda: has("SUCCEEDED", "DEPLOYING", "DEPLOYING"), seconds=1.5)

        process.kill()
        await process.wait()

    async with deploy_service_process(stack) as (_, deploys):
        await eventually(lambda: has("SUCCEEDED", "SUCCEEDED", "FAILED"), seconds=5)

        assert await statuses(stack, deploys, app.id) == [
            ("SUCCEEDED", False, ""),
            ("SUCCEEDED", True, ""),
            ("FAILED", False, "ROLLOUT_INTERRUPTED"),
        ]
