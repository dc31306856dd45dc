"""Reads documents and variables from the deploy service, and reports rollouts to it."""

from collections.abc import Awaitable, Mapping
from typing import TypeVar
from uuid import UUID

import grpc
from cachetools import LRUCache

from run_service.errors import NoReplica
from run_service.offline.offline_copy import OfflineCopy
from run_service.supply.routes import MadeFrom, Pin
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.deploy.v1.deploy_pb2_grpc import DeployServiceStub
from service_kit.pb.flowpin.routing.v1 import routing_pb2 as pb
from service_kit.pb.flowpin.routing.v1.routing_pb2_grpc import RoutingServiceStub

SECONDS = 10.0
"""Time limit of a call."""
KEPT_BYTES = 64 << 20
"""Maximum bytes of loadable documents in memory, so that replicas can start while the deploy service is unreachable."""

VARIABLES_SECONDS = 2.0
"""Time limit of reading variables. After that, the ones that were read last are used."""
AWAY = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
KEPT_VARIABLES = 1000
"""Maximum environments of all apps whose variables are kept."""

T = TypeVar("T")


class DeployClient:
    """Calls to the deploy service. Each raises ServiceError."""

    def __init__(self, channel: grpc.aio.Channel, token: str, copy: OfflineCopy | None = None) -> None:
        """`copy` is used while the service is unreachable."""
        self._rpc = RoutingServiceStub(channel)
        self._runtimes = DeployServiceStub(channel).ListRuntimes
        self.metadata = (("authorization", f"Bearer {token}"),)
        self._copy = copy
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
        if found is None and self._copy is not None:
            found = await self._copy.loadable(made_from)  # first, because it never changes
        if found is None:
            request = pb.GetLoadableRequest(project_id=str(key[0]), digest=key[1])
            answer = await _answered(self._rpc.GetLoadable(request, metadata=self.metadata, timeout=SECONDS))
            found = answer.loadable.utf8
        if len(found) <= KEPT_BYTES:
            self._loadables[key] = found
        return found

    async def variables(self, made_from: MadeFrom) -> Mapping[str, str]:
        """A replica's variables: the current ones, or those that were read last if the service is unreachable."""
        request = pb.GetVariablesRequest(
            project_id=str(made_from.project_id), app_id=str(made_from.app_id), environment=made_from.environment
        )
        try:
            call = self._rpc.GetVariables(request, metadata=self.metadata, timeout=VARIABLES_SECONDS)
            answer = await _answered(call)
        except ServiceError as error:
            if error.code.name not in AWAY:
                raise
            found = self._variables.get(made_from)
            if found is None and self._copy is not None:
                found = await self._copy.variables(made_from)
            if found is None:
                raise
            return found
        self._variables[made_from] = found = dict(answer.variables)
        return found

    async def default_runtime(self) -> str:
        """The version of the default runtime. Raises NoReplica without one."""
        answer = await _answered(
            self._runtimes(deploy_pb2.ListRuntimesRequest(), metadata=self.metadata, timeout=SECONDS)
        )
        for runtime in answer.data:
            if runtime.default:
                return runtime.version
        raise NoReplica("There is no default runtime. An operator must set one.")

    async def report_up(self, pin: Pin) -> None:
        await self._report(pin, up=pb.Up(digest=pin.made_from.loadable_digest))

    async def report_failed(self, pin: Pin, reason: str, message: str) -> None:
        await self._report(pin, failed=pb.Failed(reason=reason, message=message[:2000]))

    async def report_drain(self, pin: Pin, drained: int, killed: int) -> None:
        request = pb.ReportDrainRequest(
            project_id=str(pin.made_from.project_id),
            deployment_id=str(pin.deployment_id),
            drained=drained,
            killed=killed,
        )
        await _answered(self._rpc.ReportDrain(request, metadata=self.metadata, timeout=SECONDS))

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
