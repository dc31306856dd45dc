"""Asks the deploy service where a deleted version or workflow is still live, on behalf of the caller."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import grpc

from service_kit.access.caller import Caller
from service_kit.calls import single_call
from service_kit.channel import Interceptor, open_channel
from service_kit.errors import ServiceError
from service_kit.idempotency import Context
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.tls import ChannelTls

LIST_LIVE_PINS = "/flowpin.deploy.v1.DeployService/ListLivePins"
ASK_SECONDS = 1.0
MOST_WARNINGS = 20
DEPLOY = deploy_pb2.DESCRIPTOR.services_by_name["DeployService"]
UNKNOWN = "The deploy service did not answer, so it is not known whether an app still serves this."


class DeployClient:
    def __init__(self, channel: grpc.aio.Channel | None) -> None:
        """Without a channel, nothing is deployed and so nothing is live."""
        self._ask = None if channel is None else single_call(channel, LIST_LIVE_PINS, ASK_SECONDS)

    async def warnings(
        self, context: Context, caller: Caller, project_id: UUID, workflow_id: UUID, version_id: UUID | None = None
    ) -> list[str]:
        """Where the workflow, or this version, is live: one sentence per app and environment."""
        if self._ask is None:
            return []
        request = deploy_pb2.ListLivePinsRequest(
            project_id=str(project_id),
            workflow_id=str(workflow_id),
            workflow_version_id=str(version_id) if version_id else None,
            page_size=MOST_WARNINGS,
        )
        token = {name: str(value) for name, value in context.invocation_metadata() or () if name == "authorization"}
        try:
            answer, _ = await self._ask(request.SerializeToString(), {**token, "x-request-id": caller.request_id})
        except ServiceError:
            return [UNKNOWN]
        pins = deploy_pb2.ListLivePinsResponse.FromString(answer)
        found = [_warning(pin) for pin in pins.data]
        further = pins.pagination.total_count - len(found)
        return [*found, f"It is live in {further} more places."] if further > 0 else found


@asynccontextmanager
async def open_deploy_client(
    target: str | None, interceptors: Sequence[Interceptor], tls: ChannelTls | None
) -> AsyncIterator[DeployClient]:
    """`target` is the address of the deploy service, or None without one."""
    if target is None:
        yield DeployClient(None)
        return
    async with open_channel(target, DEPLOY, interceptors=interceptors, tls=tls) as channel:
        yield DeployClient(channel)


def _warning(pin: deploy_pb2.LivePin) -> str:
    return (
        f'The app "{pin.app_name}" still has v{pin.version} live in {pin.environment}; '
        f"/v1/apps/{pin.app_id}/deployments/{pin.deployment_id}/flow shows its flow."
    )
