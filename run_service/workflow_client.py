"""Reads the loadable document of a flow under test from the workflow service, with the tester's token."""

from uuid import UUID

import grpc

from service_kit.access.caller import current_caller
from service_kit.errors import ServiceError
from service_kit.idempotency import Context
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.pb.flowpin.workflow.v1.workflow_pb2_grpc import WorkflowServiceStub

SECONDS = 30.0
"""Time limit of a call. Large flows are translated in a worker process."""

Metadata = tuple[tuple[str, str], ...]


class WorkflowClient:
    """Each call raises the ServiceError of the workflow service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._rpc = WorkflowServiceStub(channel)

    async def render_flow(self, project_id: UUID, flow: bytes, metadata: Metadata) -> pb.RenderFlowResponse:
        request = pb.RenderFlowRequest(project_id=str(project_id), flow=pb.Json(utf8=flow))
        try:
            return await self._rpc.RenderFlow(request, metadata=metadata, timeout=SECONDS)
        except grpc.aio.AioRpcError as error:
            raise ServiceError.from_rpc_error(error) from None

    async def render_version(self, workflow_id: UUID, version: str, metadata: Metadata) -> pb.RenderVersionResponse:
        request = pb.RenderVersionRequest(workflow_id=str(workflow_id), version=version)
        try:
            return await self._rpc.RenderVersion(request, metadata=metadata, timeout=SECONDS)
        except grpc.aio.AioRpcError as error:
            raise ServiceError.from_rpc_error(error) from None


def passed_on(context: Context) -> Metadata:
    """The caller's own token and request id, for a call on its behalf."""
    given = dict(context.invocation_metadata() or ())
    return ("authorization", str(given["authorization"])), ("x-request-id", current_caller().request_id)
