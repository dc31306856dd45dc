"""A small client that simulates the run service: it watches routes, reports rollouts and acknowledges routes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc

from service_kit.channel import open_channel
from service_kit.ids import new_id
from service_kit.pb.flowpin.routing.v1 import routing_pb2 as pb
from service_kit.pb.flowpin.routing.v1.routing_pb2_grpc import RoutingServiceStub
from tests.support.stack import Stack
from tests.support.waiting import eventually

Outcome = pb.Up | pb.Failed | None
"""The report of a rollout. None: it reports nothing."""


def is_up(pin: pb.Pin) -> Outcome:
    return pb.Up(digest=pin.loadable_digest)


def starts_nothing(pin: pb.Pin) -> Outcome:
    return None


class RouterClient:
    def __init__(self, stack: Stack, stub: RoutingServiceStub, outcome_of: Callable[[pb.Pin], Outcome]) -> None:
        self._stack = stack
        self.stub = stub
        self.outcome_of = outcome_of
        self.id = str(new_id())
        self.name = f"router-{self.id[-4:]}"
        self.routes: dict[str, pb.Route] = {}
        """Routes, by the app's id."""
        self.keys: dict[str, list[pb.AccessKey]] = {}
        """Keys, by the project's id."""
        self.snapshots = 0
        self.messages = 0
        self.reported: set[str] = set()
        self.is_cut_off = False
        """Whether it is cut off: it receives and sends nothing."""
        self._streams: asyncio.Task[None] | None = None

    @property
    def token(self) -> Any:
        return self._stack.as_("runner")

    def live(self, app_id: str, environment: str = "production") -> str | None:
        """The deployment that it serves for the app."""
        route = self.routes.get(app_id)
        found = [each for each in (route.environments if route else ()) if each.environment == environment]
        return found[0].live.deployment_id if found and found[0].HasField("live") else None

    async def watch(self) -> None:
        """Run until canceled. A stream that ends is started again."""
        while True:
            with suppress(grpc.aio.AioRpcError):
                request = pb.WatchRoutesRequest(router_id=self.id, name=self.name)
                fresh: dict[str, pb.Route] | None = {}
                async for message in self.stub.WatchRoutes(request, metadata=self.token):
                    self.messages += 1
                    if self.is_cut_off:
                        continue
                    fresh = await self._take(message, fresh)
            await asyncio.sleep(0.02)

    async def _take(self, message: pb.WatchRoutesResponse, fresh: dict[str, pb.Route] | None) -> Any:
        table = self.routes if fresh is None else fresh
        table.update({route.app_id: route for route in message.routes})
        self.keys.update({each.project_id: list(each.keys) for each in message.keys})
        if message.snapshot_complete:
            self.routes, fresh = dict(table), None
            self.snapshots += 1
        await self.report(message)
        await self.acknowledge(*message.routes)
        return fresh

    async def report(self, message: pb.WatchRoutesResponse) -> None:
        for route in message.routes:
            for environment in route.environments:
                for pin in environment.rolling_out:
                    outcome = self.outcome_of(pin)
                    if outcome is not None and pin.deployment_id not in self.reported:
                        self.reported.add(pin.deployment_id)
                        await self.say(route.project_id, pin.deployment_id, outcome)

    async def say(self, project_id: str, deployment_id: str, outcome: pb.Up | pb.Failed) -> None:
        named = {"up" if isinstance(outcome, pb.Up) else "failed": outcome}
        request = pb.ReportRolloutRequest(project_id=project_id, deployment_id=deployment_id, **named)  # type: ignore[arg-type]
        await self.stub.ReportRollout(request, metadata=self.token)

    async def acknowledge(self, *routes: pb.Route, leaving: bool = False) -> None:
        acknowledgements = [
            pb.Acknowledgement(project_id=route.project_id, app_id=route.app_id, revision=route.revision)
            for route in routes
            if not route.deleted
        ]
        request = pb.AcknowledgeRoutesRequest(router_id=self.id, acknowledgements=acknowledgements, leaving=leaving)
        if routes or leaving:
            await self.stub.AcknowledgeRoutes(request, metadata=self.token)


@asynccontextmanager
async def router_client(
    stack: Stack, outcome_of: Callable[[pb.Pin], Outcome] = is_up, *, port: int = 0
) -> AsyncIterator[RouterClient]:
    """A router that has its snapshot. At the end it disappears without a message."""
    async with open_channel(f"127.0.0.1:{port or stack.deploy_port}") as channel:
        router = RouterClient(stack, RoutingServiceStub(channel), outcome_of)
        watching = asyncio.create_task(router.watch())
        try:

            async def has_snapshot() -> bool:
                return router.snapshots > 0

            await eventually(has_snapshot)
            yield router
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
