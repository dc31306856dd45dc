"""A gateway in front of a real gRPC server whose scripted services record their requests and can fail."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc
from google.api.httpbody_pb2 import HttpBody
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from gateway.server import running_gateway
from gateway.settings import Settings
from service_kit.channel import SHORTEST_PING_INTERVAL_MS
from service_kit.errors import STATUS_DETAILS, ServiceError, Unauthenticated
from service_kit.pb.flowpin.batch.v1.batch_pb2_grpc import BatchServiceServicer, add_BatchServiceServicer_to_server
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2, deploy_pb2_grpc
from service_kit.pb.flowpin.identity.v1 import identity_pb2, identity_pb2_grpc
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2, workflow_pb2_grpc

WORKFLOW = "01980000-0000-7000-8000-000000000001"
PROJECT = "01980000-0000-7000-8000-000000000002"
APP = "01980000-0000-7000-8000-000000000003"
INVALID = "dyn_pat_invalid"
ETAG = '"v1.1"'
ZIP = b"PK\x05\x06" + bytes(18)


@dataclass
class Observed:
    """The requests that reached the services, and how they answer."""

    requests: list[Any] = field(default_factory=list)
    pings: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    failure: ServiceError | None = None
    trailers: tuple[tuple[str, str], ...] = (("etag", ETAG),)
    hangs: bool = False
    hangs_at_ping: bool = False
    hangs_at_health: bool = False
    version: int = 0
    """The size of every version's flow in bytes. 0: as saved."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    canceled: asyncio.Event = field(default_factory=asyncio.Event)

    async def check_token(self, context: grpc.aio.ServicerContext) -> None:
        """Refuse an invalid token, like every service's `Ping`."""
        authorization = str(dict(context.invocation_metadata())["authorization"])
        self.pings.append(authorization)
        if self.hangs_at_ping:
            await self.go_on.wait()
        if authorization.endswith(INVALID):
            refusal = Unauthenticated("The token is unknown, revoked or expired.")
            await context.abort(refusal.code, refusal.message, ((STATUS_DETAILS, refusal.status),))

    async def receive(self, request: Any, context: grpc.aio.ServicerContext) -> None:
        self.requests.append(request)
        self.metadata = dict(context.invocation_metadata())
        self.arrived.set()
        if self.hangs:
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.canceled.set()
                raise
        if self.failure is not None:
            await context.abort(self.failure.code, self.failure.message, ((STATUS_DETAILS, self.failure.status),))
        context.set_trailing_metadata(self.trailers)


class Workflows(workflow_pb2_grpc.WorkflowServiceServicer):
    def __init__(self, observed: Observed) -> None:
        self.observed = observed
        self.version = workflow_pb2.Version(version=1)

    async def SaveWorkflow(self, request, context):  # noqa: N802
        await self.observed.receive(request, context)
        self.version = workflow_pb2.Version(
            version=self.version.version + 1, flow=request.flow, flow_ui=request.flow_ui
        )
        return workflow_pb2.SaveWorkflowResponse(data=workflow_pb2.Version(version=self.version.version))

    async def GetVersion(self, request, context):  # noqa: N802
        await self.observed.receive(request, context)
        if self.observed.version:
            large = workflow_pb2.Json(utf8=b'"' + b"x" * self.observed.version + b'"')
            return workflow_pb2.GetVersionResponse(data=workflow_pb2.Version(version=1, flow=large))
        return workflow_pb2.GetVersionResponse(data=self.version)

    async def CreateWorkflow(self, request, context):  # noqa: N802
        await self.observed.receive(request, context)
        return workflow_pb2.CreateWorkflowResponse(data=workflow_pb2.Workflow(name=request.name))

    async def UpdateWorkflow(self, request, context):  # noqa: N802
        await self.observed.receive(request, context)
        return workflow_pb2.UpdateWorkflowResponse(data=workflow_pb2.Workflow(name=request.name))

    async def ListWorkflows(self, request, context):  # noqa: N802
        await self.observed.receive(request, context)
        return workflow_pb2.ListWorkflowsResponse(pagination=workflow_pb2.Pagination(page=1, page_size=25))

    async def ExportWorkflow(self, request, context):  # noqa: N802
        await self.observed.receive(request, context)
        return workflow_pb2.ExportWorkflowResponse(data=HttpBody(content_type="application/octet-stream", data=ZIP))


class Identities(identity_pb2_grpc.IdentityServiceServicer):
    def __init__(self, observed: Observed) -> None:
        self.observed = observed

    async def Ping(self, request, context):  # noqa: N802
        await self.observed.check_token(context)
        return identity_pb2.PingResponse()


class Deployments(deploy_pb2_grpc.DeployServiceServicer):
    def __init__(self, observed: Observed) -> None:
        self.observed = observed

    async def Ping(self, request, context):  # noqa: N802
        await self.observed.check_token(context)
        return deploy_pb2.PingResponse()

    async def DeployApp(self, request, context):  # noqa: N802
        await self.observed.receive(request, context)
        return deploy_pb2.DeployAppResponse(
            data=deploy_pb2.Deployment(app_id=request.app_id, deployment_config=request.deployment_config)
        )

    async def ListDeployments(self, request, context):  # noqa: N802
        await self.observed.receive(request, context)
        return deploy_pb2.ListDeploymentsResponse(data=[deploy_pb2.Deployment(status=request.status)])


class Health(HealthServicer):
    def __init__(self, observed: Observed) -> None:
        super().__init__()
        self.observed = observed

    async def Check(self, request, context):  # noqa: N802
        if self.observed.hangs_at_health:
            await self.observed.go_on.wait()
        return await super().Check(request, context)


@dataclass
class Answer:
    status: int
    headers: aiohttp.typedefs.CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return self.json["error"]

    @property
    def details(self) -> dict[str, str]:
        return self.error.get("details", {})


@dataclass
class World:
    url: str
    http: aiohttp.ClientSession
    observed: Observed
    backend: "Backend"

    async def call(self, method: str, path: str, body: Any = None, /, **headers: str | None) -> Answer:
        """Send `body`, unchanged if it is bytes. A header `if_match` is sent as If-Match; None omits a header."""
        sent = {"Authorization": "Bearer dyn_pat_test"}
        for name, value in headers.items():
            sent[name.replace("_", "-").title()] = value
        sent = {name: value for name, value in sent.items() if value is not None}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        async with self.http.request(method, self.url + path, data=data, headers=sent) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, **headers: str | None) -> Answer:
        return await self.call("GET", path, **headers)

    async def post(self, path: str, body: Any = None, /, **headers: str | None) -> Answer:
        return await self.call("POST", path, body, **headers)


class Backend:
    """A gRPC server that keeps its port over a stop and start."""

    def __init__(self, observed: Observed, batches: BatchServiceServicer | None = None) -> None:
        self.observed = observed
        self.batches = batches
        self.port = 0
        self.health = Health(observed)
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        pings = ("grpc.http2.min_ping_interval_without_data_ms", SHORTEST_PING_INTERVAL_MS)
        self._server = grpc.aio.server(options=[("grpc.max_receive_message_length", 64 << 20), pings])
        identity_pb2_grpc.add_IdentityServiceServicer_to_server(Identities(self.observed), self._server)
        workflow_pb2_grpc.add_WorkflowServiceServicer_to_server(Workflows(self.observed), self._server)
        deploy_pb2_grpc.add_DeployServiceServicer_to_server(Deployments(self.observed), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        if self.batches is not None:
            add_BatchServiceServicer_to_server(self.batches, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()
        for name in ("", "accepting", "writes"):
            await self.health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)
            self._server = None


@asynccontextmanager
async def running_world(
    batches: BatchServiceServicer | None = None, others: Sequence["Backend"] = (), **settings: Any
) -> AsyncIterator[World]:
    """The services have no batches unless `batches` is given, like those of an earlier release.

    `others` are more replicas of both services.
    """
    observed = Observed()
    backend = Backend(observed, batches)
    async with AsyncExitStack() as stack:
        for each in (backend, *others):
            await each.start()
            stack.push_async_callback(each.stop)
        target = ",".join(f"127.0.0.1:{each.port}" for each in (backend, *others))
        port = await stack.enter_async_context(
            running_gateway(Settings(listen="127.0.0.1:0", workflow_target=target, deploy_target=target, **settings))
        )
        http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)))
        yield World(f"http://127.0.0.1:{port}", http, observed, backend)
