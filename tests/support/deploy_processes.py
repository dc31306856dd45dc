"""Deploy services as processes, which can be killed, paused and given another clock."""

import asyncio
import itertools
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service_kit.channel import open_channel
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from service_kit.pb.flowpin.deploy.v1.deploy_pb2_grpc import DeployServiceStub
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from service_kit.pb.flowpin.workflow.v1.workflow_pb2_grpc import WorkflowServiceStub
from tests.support.stack import FLOW, FLOW_UI, Stack

# How Python code reads the time of day. time.time() is left alone: gRPC mixes it with the right clock for deadlines.
WITH_ANOTHER_CLOCK = """
import datetime, runpy, sys
seconds = float(sys.argv.pop(1))

class datetime_ahead(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds=seconds)

    @classmethod
    def utcnow(cls):
        return super().utcnow() + datetime.timedelta(seconds=seconds)

datetime.datetime = datetime_ahead
runpy.run_module("deploy_service", run_name="__main__", alter_sys=True)
"""


numbers = itertools.count(1)


@dataclass(frozen=True)
class DeployProcess:
    """`python -m deploy_service serve`."""

    process: asyncio.subprocess.Process
    log: Path
    stub: DeployServiceStub
    stack: Stack

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    @asynccontextmanager
    async def stopped(self) -> AsyncIterator[None]:
        """Pause the process until the block ends."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def events(self) -> Counter[str]:
        """The number of log lines, by event. The start of a rollout taken over counts as `rollout_taken_over`."""
        return Counter("rollout_taken_over" if line.get("taken_over") else line["event"] for line in _lines(self.log))

    async def app(self, workflow_id: str) -> str:
        """The id of a new app, whose first deployment is in progress."""
        new = pb.CreateAppRequest(project_id=str(self.stack.people.project), name="app", workflow_id=workflow_id)
        return str((await self.stub.CreateApp(new, metadata=self.stack.as_())).data.id)

    async def deploy(self, app_id: str, workflow_id: str) -> None:
        again = pb.DeployAppRequest(app_id=app_id, workflow_id=workflow_id)
        await self.stub.DeployApp(again, metadata=self.stack.as_())

    async def history(self, app_id: str) -> list[pb.Deployment]:
        """The deployments, oldest first."""
        request = pb.ListDeploymentsRequest(app_id=app_id, sort="started_at")
        return list((await self.stub.ListDeployments(request, metadata=self.stack.as_(), timeout=10)).data)

    async def statuses(self, app_id: str) -> list[str]:
        """The statuses of the deployments, oldest first. For a failed one, the code of the error."""
        return [
            row.error.code or pb.DeploymentStatus.Name(row.status).removeprefix("DEPLOYMENT_STATUS_")
            for row in await self.history(app_id)
        ]


@asynccontextmanager
async def deploy_service_process(
    stack: Stack, folder: Path, script: str, *, clock_seconds: float = 0, **settings: Any
) -> AsyncIterator[DeployProcess]:
    """A deploy service on the stack's schema, killed at the end. `clock_seconds`: how far its clock is ahead."""
    settings |= {
        "listen": "127.0.0.1:0",
        "database_url": stack.urls["flowpin_deploy"],
        "access_file": stack.people.path,
        "workflow_target": f"127.0.0.1:{stack.workflow_port}",
        "workflow_token": stack.people.secret("service"),
        "rollout_driver": "scripted",
        "rollout_script": script,
        "wait_seconds": 0,
        "log_format": "json",
    }
    environment = {f"DEPLOY_{name.upper()}": str(value) for name, value in settings.items()}
    words = ["-c", WITH_ANOTHER_CLOCK, str(clock_seconds)] if clock_seconds else ["-m", "deploy_service"]
    log = folder / f"deploy-{next(numbers)}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, "serve", env={**os.environ, **environment}, stderr=output
        )
    try:
        async with open_channel(await _listening(process, log)) as channel:
            yield DeployProcess(process, log, DeployServiceStub(channel), stack)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _listening(process: asyncio.subprocess.Process, log: Path) -> str:
    async with asyncio.timeout(30):
        while not (found := [line for line in _lines(log) if line["event"] == "listener_started"]):
            assert process.returncode is None, "the service ended before it listened"
            await asyncio.sleep(0.05)
    return str(found[0]["address"])


def _lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_bytes().splitlines() if line.startswith(b"{")]


async def released_workflow(stack: Stack) -> str:
    """The id of a workflow with a version, made by the stack's workflow service."""
    async with open_channel(f"127.0.0.1:{stack.workflow_port}") as channel:
        workflows = WorkflowServiceStub(channel)
        documents = {"flow": workflow_pb2.Json(utf8=FLOW), "flow_ui": workflow_pb2.Json(utf8=FLOW_UI)}
        draft = workflow_pb2.CreateWorkflowRequest(project_id=str(stack.people.project), name="flow", **documents)
        workflow_id = (await workflows.CreateWorkflow(draft, metadata=stack.as_())).data.id
        await workflows.SaveWorkflow(
            workflow_pb2.SaveWorkflowRequest(workflow_id=workflow_id, **documents), metadata=stack.as_()
        )
    return str(workflow_id)
