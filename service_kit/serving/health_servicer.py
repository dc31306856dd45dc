"""gRPC's health service with a cost that callers cannot increase."""

from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer as _HealthServicer  # the name of health.aio in its types

from service_kit.errors import NotFound
from service_kit.serving.refusals import Context


class PartUnknown(NotFound):
    reason = "PART_UNKNOWN"

    def __init__(self) -> None:
        super().__init__("Part not found.")


class HealthServicer(_HealthServicer):  # type: ignore[misc]  # it ships no types
    async def Check(  # noqa: N802 - the contract's name
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        status = self._server_status.get(request.service)
        if status is None:
            raise PartUnknown
        return health_pb2.HealthCheckResponse(status=status)

    async def set(self, service: str, status: "health_pb2.HealthCheckResponse.ServingStatus.ValueType") -> None:
        """Set the state of a part. Its watchers are notified only when it has changed, not at each check."""
        if self._server_status.get(service) != status:
            await super().set(service, status)
