"""The generated stubs on channels that retry reads and send the load's token."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from service_kit.channel import open_channel
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.deploy.v1.deploy_pb2_grpc import DeployServiceStub
from service_kit.pb.flowpin.identity.v1 import identity_pb2
from service_kit.pb.flowpin.identity.v1.identity_pb2_grpc import IdentityServiceStub
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from service_kit.pb.flowpin.workflow.v1.workflow_pb2_grpc import WorkflowServiceStub
from service_kit.tls import ChannelTls, TlsFiles

if TYPE_CHECKING:  # these exist only in the type stubs
    from service_kit.pb.flowpin.deploy.v1.deploy_pb2_grpc import DeployServiceAsyncStub
    from service_kit.pb.flowpin.identity.v1.identity_pb2_grpc import IdentityServiceAsyncStub
    from service_kit.pb.flowpin.workflow.v1.workflow_pb2_grpc import WorkflowServiceAsyncStub


@dataclass(frozen=True, slots=True)
class FlowpinClient:
    """All RPCs of the contracts, typed. Calls raise grpc.aio.AioRpcError; `ServiceError.from_rpc_error` reads it."""

    workflows: "WorkflowServiceAsyncStub"
    identity: "IdentityServiceAsyncStub"
    deploys: "DeployServiceAsyncStub"


@asynccontextmanager
async def flowpin_client(
    *, workflow: str, deploy: str, token: str, timeout_seconds: float = 30, ca: str = ""
) -> AsyncIterator[FlowpinClient]:
    """Keep the channels open until the block ends. `workflow` and `deploy` are the targets of the services, as for
    `open_channel`.

    `timeout_seconds` is the deadline of calls that give no `timeout`. With `ca`, the file of an authority, it uses TLS.
    """
    tls = ChannelTls(TlsFiles(ca=Path(ca)), None) if ca else None
    every_call = [_EveryCall(token, timeout_seconds)]
    workflow_services = [
        *workflow_pb2.DESCRIPTOR.services_by_name.values(),
        *identity_pb2.DESCRIPTOR.services_by_name.values(),
    ]
    async with (
        open_channel(workflow, *workflow_services, interceptors=every_call, tls=tls) as workflow_channel,
        open_channel(
            deploy, *deploy_pb2.DESCRIPTOR.services_by_name.values(), interceptors=every_call, tls=tls
        ) as deploy_channel,
    ):
        yield FlowpinClient(
            workflows=WorkflowServiceStub(workflow_channel),
            identity=IdentityServiceStub(workflow_channel),
            deploys=DeployServiceStub(deploy_channel),
        )


class _EveryCall(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]  # generic in its stubs only
    """Adds the token, and a deadline if the caller gave none. (Call credentials would require TLS.)"""

    def __init__(self, token: str, timeout_seconds: float) -> None:
        self._authorization = ("authorization", f"Bearer {token}")
        self._timeout_seconds = timeout_seconds

    async def intercept_unary_unary(
        self, continuation: Callable[..., Awaitable[Any]], client_call_details: Any, request: Any
    ) -> Any:
        details = client_call_details
        metadata = grpc.aio.Metadata(self._authorization, *(details.metadata or ()))
        timeout = self._timeout_seconds if details.timeout is None else details.timeout
        return await continuation(details._replace(metadata=metadata, timeout=timeout), request)
