"""Asks the deploy service what replicas load, and tells it what has come up."""

from collections.abc import Awaitable, Mapping
from typing import TypeVar
from uuid import UUID

import grpc
from cachetools import LRUCache

from run_service.errors import NoReplica
from run_service.supply.routes import MadeFrom, Pin
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.deploy.v1.deploy_pb2_grpc import DeployServiceStub
from service_kit.pb.flowpin.routing.v1 import routing_pb2 as pb
from service_kit.pb.flowpin.routing.v1.routing_pb2_grpc import RoutingServiceStub

SECONDS = 10.0
"""That a call may take."""
KEPT_BYTES = 64 << 20
"""Of loadable documents, so that a replica comes back while the deploy service is away."""

VARIABLES_SECONDS = 2.0
"""That variables may take: those that were read last are there then."""
AWAY = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
KEPT_VARIABLES = 1000
"""Environments, likewise."""

T = TypeVar("T")


class DeployClient:
    """Each call raises ServiceError."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._rpc = RoutingServiceStub(channel)
        self._runtimes = DeployServiceStub(channel).ListRuntimes
        self.metadata = (("authorization", f"Bearer {token}"),)
        self._loadables: LRUCache[tuple[UUID, str], bytes] = LRUCache(KEPT_BYTES, getsizeof=len)
        self._variables: LRUCache[MadeFrom, Mapping[str, str]] = LRUCache(KEPT_VARIABLES)

    def watch(
        self, router_id: UUID, name: str
    ) -> "grpc.aio.UnaryStreamCall[pb.WatchRoutesRequest, pb.WatchRoutesResponse]":
        request = pb.WatchRoutesRequest(router_id=str(router_id), name=name)
        return self._rpc.WatchRoutes(request, metadata=self.metadata)

    async def acknowledge(self, request: pb.AcknowledgeRoutesRequest) -> None:
        await _answered(self._rpc.AcknowledgeRoutes(request, metadata=self.metadata, timeout=SECONDS))

    async def loadable(self, made_from: MadeFrom) -> bytes:
        """The document that a replica loads."""
        key = made_from.project_id, made_from.loadable_digest
        found = self._loadables.get(key)
        if found is None:
            request = pb.GetLoadableRequest(project_id=str(key[0]), digest=key[1])
            answer = await _answered(self._rpc.GetLoadable(request, metadata=self.metadata, timeout=SECONDS))
            found = answer.loadable.utf8
            if len(found) <= KEPT_BYTES:
                self._loadables[key] = found
        return found

    async def variables(self, made_from: MadeFrom) -> Mapping[str, str]:
        """A replica's environment: as it is now, or while the service is away as it was read last."""
        request = pb.GetVariablesRequest(
            project_id=str(made_from.project_id), app_id=str(made_from.app_id), environment=made_from.environment
        )
        try:
            call = self._rpc.GetVariables(request, metadata=self.metadata, timeout=VARIABLES_SECONDS)
            answer = await _answered(call)
        except ServiceError as error:
            if error.code.name not in AWAY or made_from not in self._variables:
                raise
        else:
            self._variables[made_from] = dict(answer.variables)
        return self._variables[made_from]

    async def default_runtime(self) -> str:
        """The version of the runtime that a first deploy gets. Raises NoReplica when there is none."""
        answer = await _answered(
            self._runtimes(deploy_pb2.ListRuntimesRequest(), metadata=self.metadata, timeout=SECONDS)
        )
        for runtime in answer.data:
            if runtime.default:
                return runtime.version
        raise NoReplica("No runtime is the default one: an operator has to say which is.")

    async def report_up(self, pin: Pin) -> None:
        await self._report(pin, up=pb.Up(digest=pin.made_from.loadable_digest))

    async def report_failed(self, pin: Pin, reason: str, message: str) -> None:
        await self._report(pin, failed=pb.Failed(reason=reason, message=message[:2000]))

    async def _report(self, pin: Pin, up: pb.Up | None = None, failed: pb.Failed | None = None) -> None:
        request = pb.ReportRolloutRequest(
            project_id=str(pin.made_from.project_id), deployment_id=str(pin.deployment_id), up=up, failed=failed
        )
        await _answered(self._rpc.ReportRollout(request, metadata=self.metadata, timeout=SECONDS))


async def _answered(call: Awaitable[T]) -> T:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise ServiceError.from_rpc_error(error) from None
