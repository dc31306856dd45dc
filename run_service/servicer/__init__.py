"""The run contract's RPCs, by noun: read the message, do the work, write the message."""

from run_service.servicer.calls import CallMethods
from run_service.servicer.runs import RunMethods
from service_kit.idempotency import Context
from service_kit.pb.flowpin.run.v1 import run_pb2 as pb


class RunServicer(CallMethods, RunMethods):
    """Implements RunService."""

    async def Ping(self, request: pb.PingRequest, context: Context) -> pb.PingResponse:
        return pb.PingResponse()
