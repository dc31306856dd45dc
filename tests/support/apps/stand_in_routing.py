"""A scripted RoutingService of the deploy service, on a real gRPC server."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from service_kit.channel import ACCEPTING, SHORTEST_PING_INTERVAL_MS
from service_kit.ids import new_id
from service_kit.pb.flowpin.routing.v1 import routing_pb2 as pb
from service_kit.pb.flowpin.routing.v1 import routing_pb2_grpc as rpc
from tests.support.apps.stand_in_host import digest

HEARTBEAT_SECONDS = 0.5


@dataclass
class App:
    """An app and its live deployments, by environment."""

    project_id: UUID
    app_id: UUID = field(default_factory=new_id)
    is_public: bool = False
    is_archived: bool = False
    revision: int = 1
    environments: tuple[str, ...] = ("production",)
    live: dict[str, pb.Pin] = field(default_factory=dict)
    rolling_out: dict[str, list[pb.Pin]] = field(default_factory=dict)
    deployments: int = 0

    @property
    def route(self) -> pb.Route:
        return pb.Route(
            project_id=str(self.project_id),
            app_id=str(self.app_id),
            access_type=pb.ACCESS_TYPE_PUBLIC if self.is_public else pb.ACCESS_TYPE_PRIVATE,
            archived=self.is_archived,
            revision=self.revision,
            environments=[
                pb.EnvironmentRoute(
                    environment=name,
                    is_default=name == self.environments[-1],
                    live=self.live.get(name),
                    rolling_out=self.rolling_out.get(name, []),
                )
                for name in self.environments
            ],
        )


class StandInRouting(rpc.RoutingServiceServicer):
    def __init__(self) -> None:
        self.apps: dict[UUID, App] = {}
        self.keys: dict[UUID, dict[str, Any]] = {}
        """Secrets by project, each with its expiry."""
        self.loadables: dict[str, bytes] = {}
        self.variables: dict[str, str] = {}
        self.is_refusing_variables = False
        self.snapshot_seconds = 0.0
        """Seconds that a snapshot takes."""
        self.acknowledged: dict[str, int] = {}
        """Acknowledged revisions, by app."""
        self.reports: dict[str, pb.ReportRolloutRequest] = {}
        """Reports, by deployment."""
        self.drains: dict[str, tuple[int, int]] = {}
        """Numbers of calls that ended by themselves and that were killed, by deployment."""
        self.leavings = 0
        self.changed = asyncio.Condition()
        self._streams: list[asyncio.Queue[pb.WatchRoutesResponse]] = []

    # Called by tests.

    def app(self, project_id: UUID, **fields: Any) -> App:
        app = App(project_id, **fields)
        self.apps[app.app_id] = app
        return app

    def pin(self, app: App, flow: bytes, **fields: Any) -> pb.Pin:
        """A deployment of the app that pins `flow`."""
        app.deployments += 1
        self.loadables[digest(flow)] = flow
        given = {name: fields.pop(name) for name in ("server_based", "min_replicas") if name in fields}
        return pb.Pin(
            deployment_id=str(new_id()),
            number=app.deployments,
            version_id=str(new_id()),
            version_number=app.deployments,
            loadable_digest=digest(flow),
            runtime_version="0.69",
            scaling=pb.Scaling(**given),
            **fields,
        )

    async def send(self, app: App) -> None:
        """Send the app's current state with a new revision."""
        app.revision += 1
        await self._stream(pb.WatchRoutesResponse(routes=[app.route]))

    async def delete(self, app: App) -> None:
        del self.apps[app.app_id]
        gone = pb.Route(project_id=str(app.project_id), app_id=str(app.app_id), deleted=True)
        await self._stream(pb.WatchRoutesResponse(routes=[gone]))

    async def send_keys(self, project_id: UUID) -> None:
        await self._stream(pb.WatchRoutesResponse(keys=[self._keys_of(project_id)]))

    async def deploy(self, app: App, flow: bytes, environment: str = "production", **fields: Any) -> pb.Pin:
        """Deploy as the deploy service does: roll out, wait for the report, go live, wait for the acknowledgement.

        Raises AssertionError with the reason of a rollout that failed.
        """
        pin = self.pin(app, flow, **fields)
        app.rolling_out.setdefault(environment, []).append(pin)
        await self.send(app)
        report = await self.reported(pin)
        app.rolling_out[environment].remove(pin)
        if report.WhichOneof("outcome") == "failed":
            await self.send(app)
            raise AssertionError(report.failed.reason)
        app.live[environment] = pin
        await self.send(app)
        await self.taken_up(app)
        return pin

    async def reported(self, pin: pb.Pin) -> pb.ReportRolloutRequest:
        await self._until(lambda: pin.deployment_id in self.reports)
        return self.reports[pin.deployment_id]

    async def taken_up(self, app: App) -> None:
        await self._until(lambda: self.acknowledged.get(str(app.app_id), 0) >= app.revision)

    async def _until(self, holds: Any, seconds: float = 10) -> None:
        async with asyncio.timeout(seconds), self.changed:
            await self.changed.wait_for(holds)

    async def _stream(self, message: pb.WatchRoutesResponse) -> None:
        for stream in self._streams:
            stream.put_nowait(message)

    def _keys_of(self, project_id: UUID) -> pb.ProjectKeys:
        return pb.ProjectKeys(
            project_id=str(project_id),
            keys=[
                pb.AccessKey(
                    id=str(key["id"]),
                    key_hash=hashlib.sha256(secret.encode()).digest(),
                    preview=f"{secret[:14]}…",
                    expires_at=key.get("expires_at"),
                )
                for secret, key in self.keys.get(project_id, {}).items()
            ],
        )

    # Called by routers.

    async def WatchRoutes(self, request, context):  # noqa: N802
        stream: asyncio.Queue[pb.WatchRoutesResponse] = asyncio.Queue()
        self._streams.append(stream)
        try:
            await asyncio.sleep(self.snapshot_seconds)
            yield pb.WatchRoutesResponse(routes=[app.route for app in self.apps.values()])
            yield pb.WatchRoutesResponse(snapshot_complete=True, keys=[self._keys_of(each) for each in self.keys])
            while True:
                try:
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        message = await stream.get()
                except TimeoutError:
                    message = pb.WatchRoutesResponse()
                yield message
        finally:
            self._streams.remove(stream)

    async def AcknowledgeRoutes(self, request, context):  # noqa: N802
        assert len(request.acknowledgements) <= 100
        async with self.changed:
            self.leavings += request.leaving
            self.acknowledged.update((each.app_id, each.revision) for each in request.acknowledgements)
            self.changed.notify_all()
        return pb.AcknowledgeRoutesResponse()

    async def GetLoadable(self, request, context):  # noqa: N802
        return pb.GetLoadableResponse(loadable=pb.Json(utf8=self.loadables[request.digest]))

    async def GetVariables(self, request, context):  # noqa: N802
        if self.is_refusing_variables:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the deploy service is ending")
        return pb.GetVariablesResponse(variables=self.variables)

    async def ReportDrain(self, request, context):  # noqa: N802
        assert request.deployment_id not in self.drains
        self.drains[request.deployment_id] = request.drained, request.killed
        return pb.ReportDrainResponse()

    async def ReportRollout(self, request, context):  # noqa: N802
        async with self.changed:
            self.reports.setdefault(request.deployment_id, request)
            self.changed.notify_all()
        return pb.ReportRolloutResponse()


@asynccontextmanager
async def running_routing(routing: StandInRouting, port: int = 0) -> AsyncIterator[int]:
    """Serve until the block ends. Yields the port."""
    # Channels here ping more often than gRPC's server lets them by default.
    server = grpc.aio.server(options=[("grpc.http2.min_ping_interval_without_data_ms", SHORTEST_PING_INTERVAL_MS)])
    rpc.add_RoutingServiceServicer_to_server(routing, server)
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    await health.set(ACCEPTING, health_pb2.HealthCheckResponse.SERVING)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(0)
