"""Minimal services on grpc.aio and asyncpg for reading a version, saving, reading an app and deploying.

They authenticate the token, read the message, send the real services' statements for a single call, and write the
answer and a log line. They read a version's content once, and its revision each time. A deploy asks the workflow
service at WORKFLOW_TARGET what to pin, with the token in DEPLOY_TOKEN. There are no roles except in the statements, no
idempotency keys, plans, conflicts, batches, limits, metrics, health or drain.
Each process serves both contracts.

    python -m tests.load.peers.stripped_services PORT ACCESS_FILE WORKFLOW_DATABASE DEPLOY_DATABASE WORKFLOW_TARGET
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import uvloop

from deploy_service.deploying import DeployCommand, deploy_locked, deploy_shared
from deploy_service.drivers import InstantDriver
from deploy_service.messages import app_message, deployment_message
from deploy_service.model import Deployment
from deploy_service.planning import DeploySpec
from deploy_service.repository.app_states import find_targets
from deploy_service.repository.apps import get_app
from deploy_service.workflow_client import WorkflowClient
from service_kit import db
from service_kit.access.caller import Caller
from service_kit.access.file import Role
from service_kit.access.registry import AccessRegistry
from service_kit.hotpath.handler_registry import Handlers
from service_kit.hotpath.server_group import ServerGroup
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2, deploy_pb2_grpc
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2, workflow_pb2_grpc
from tests.load.peers.stripped_log import Line
from workflow_service.flow import check_content
from workflow_service.messages import version_message
from workflow_service.model import VersionRef
from workflow_service.repository.version_inserts import NewVersion, insert_version
from workflow_service.repository.version_lookups import find_states
from workflow_service.repository.versions import get_version

MOST_BYTES = 16 << 20
CONNECTIONS = 10
DOMAIN = "apps.localhost"


class Services(workflow_pb2_grpc.WorkflowServiceServicer, deploy_pb2_grpc.DeployServiceServicer):
    def __init__(self, directory: AccessRegistry, workflows: db.Pool, apps: db.Pool, pins: WorkflowClient) -> None:
        self._directory = directory
        self._workflows = workflows
        self._apps = apps
        self._pins = pins
        self._kept: dict[Any, Any] = {}

    def _caller(self, context: Any, role: Role) -> Caller:
        metadata = dict(context.invocation_metadata())
        principal = self._directory.principal_of(metadata["authorization"].removeprefix("Bearer "))
        if principal is None:
            raise PermissionError
        return Caller(principal, role, metadata.get("x-request-id", "-"), None, None)

    async def GetVersion(self, request: Any, context: Any) -> Any:  # noqa: N802
        line, caller = Line(), self._caller(context, Role.VIEWER)
        async with self._workflows.acquire() as connection:
            (answer, etag), _ = await self._version(connection, caller, request.workflow_id, request.version)
        context.set_trailing_metadata((("etag", etag),))
        line.write(request_id=caller.request_id, rpc="GetVersion")
        return answer

    async def _version(self, connection: db.Connection, caller: Caller, workflow_id: str, version: str) -> Any:
        key = caller.permitted_projects, UUID(workflow_id), VersionRef.parse(version)
        (state,) = await find_states(connection, [key])
        if state not in self._kept:
            found = await get_version(connection, *key)
            self._kept[state] = workflow_pb2.GetVersionResponse(data=version_message(found)), found.etag
        return self._kept[state], state

    async def ResolveVersion(self, request: Any, context: Any) -> Any:  # noqa: N802
        line, caller = Line(), self._caller(context, Role.VIEWER)
        asked = request.workflow_version_id or "latest"
        async with self._workflows.acquire() as connection:
            (found, _), state = await self._version(connection, caller, request.workflow_id, asked)
        version = workflow_pb2.Version()
        version.CopyFrom(found.data)
        version.ClearField("flow_ui")
        if request.omit_flow:
            version.ClearField("flow")
        workflow = workflow_pb2.Workflow(
            id=found.data.workflow_id, name=state.workflow_name, description=state.workflow_description
        )
        answer = workflow_pb2.ResolveVersionResponse(workflow=workflow, version=version)
        line.write(request_id=caller.request_id, rpc="ResolveVersion")
        return answer

    async def SaveWorkflow(self, request: Any, context: Any) -> Any:  # noqa: N802
        line, caller = Line(), self._caller(context, Role.EDITOR)
        content = check_content(request.flow.utf8, request.flow_ui.utf8, MOST_BYTES)
        new = NewVersion(caller, UUID(request.workflow_id), content, "SaveWorkflow", request.description)
        async with self._workflows.acquire() as connection:
            version = await insert_version(connection, new)
        answer = workflow_pb2.SaveWorkflowResponse(data=version_message(version))
        line.write(request_id=caller.request_id, rpc="SaveWorkflow")
        return answer

    async def GetApp(self, request: Any, context: Any) -> Any:  # noqa: N802
        line, caller = Line(), self._caller(context, Role.VIEWER)
        async with self._apps.acquire() as connection:
            app = await get_app(connection, caller.permitted_projects, UUID(request.app_id))
        answer = deploy_pb2.GetAppResponse(data=app_message(app, caller.project(app.project_id), DOMAIN))
        line.write(request_id=caller.request_id, rpc="GetApp")
        return answer

    async def DeployApp(self, request: Any, context: Any) -> Any:  # noqa: N802
        line, caller = Line(), self._caller(context, Role.EDITOR)
        app_id, version = UUID(request.app_id), (UUID(request.workflow_id), UUID(request.workflow_version_id))
        async with self._apps.acquire() as connection:
            (target,) = await find_targets(connection, [(caller.permitted_projects, app_id, *version)])
        if isinstance(target, Exception):
            raise target
        project = caller.project(target.project_id)
        resolved = await self._pins.resolve(caller, project.id, *version, target.known)
        ordered = DeployCommand(caller, project.id, app_id, DeploySpec(project.environments[-1], resolved), "DeployApp")
        async with self._apps.acquire() as connection:
            (deployment,) = await deploy_shared(connection, InstantDriver(), [ordered])
            if not isinstance(deployment, Deployment):  # another call is changing the app
                async with connection.transaction():
                    deployment = await deploy_locked(connection, InstantDriver(), ordered)
        answer = deploy_pb2.DeployAppResponse(data=deployment_message(deployment))
        line.write(request_id=caller.request_id, rpc="DeployApp")
        return answer


async def serve(
    port: int, access_file: Path, workflow_database: str, deploy_database: str, workflow_target: str
) -> None:
    async with (
        db.open_pool(workflow_database, "workflow", CONNECTIONS, one_plan=True) as workflows,
        db.open_pool(deploy_database, "deploy", CONNECTIONS, one_plan=True) as apps,
        grpc.aio.insecure_channel(workflow_target) as channel,
    ):
        server = ServerGroup([("grpc.max_receive_message_length", -1)])
        pins = WorkflowClient(channel, os.environ["DEPLOY_TOKEN"], together=False)
        services: Any = Services(AccessRegistry(access_file), workflows, apps, pins)
        handlers: Any = Handlers(server)
        workflow_pb2_grpc.add_WorkflowServiceServicer_to_server(services, handlers)
        deploy_pb2_grpc.add_DeployServiceServicer_to_server(services, handlers)
        await server.start(f"127.0.0.1:{port}")
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]))
