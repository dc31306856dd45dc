"""The client for asyncio."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from flowpin_client.channels import NO_RUN_SERVICE, TIMEOUT_SECONDS, channel_options, target_of
from flowpin_client.pb.flowpin.deploy.v1.deploy_pb2_grpc import DeployServiceStub
from flowpin_client.pb.flowpin.identity.v1.identity_pb2_grpc import IdentityServiceStub
from flowpin_client.pb.flowpin.run.v1.run_pb2_grpc import RunServiceStub
from flowpin_client.pb.flowpin.workflow.v1.workflow_pb2_grpc import WorkflowServiceStub

if TYPE_CHECKING:  # these exist only in the type stubs
    from flowpin_client.pb.flowpin.deploy.v1.deploy_pb2_grpc import DeployServiceAsyncStub
    from flowpin_client.pb.flowpin.identity.v1.identity_pb2_grpc import IdentityServiceAsyncStub
    from flowpin_client.pb.flowpin.run.v1.run_pb2_grpc import RunServiceAsyncStub
    from flowpin_client.pb.flowpin.workflow.v1.workflow_pb2_grpc import WorkflowServiceAsyncStub


@dataclass(frozen=True, slots=True)
class AsyncClient:
    """Every RPC of the contracts, typed. Calls raise grpc.aio.AioRpcError; `reason_of` reads it."""

    workflows: "WorkflowServiceAsyncStub"
    identity: "IdentityServiceAsyncStub"
    deploys: "DeployServiceAsyncStub"
    _runs: "RunServiceAsyncStub | None" = None

    @property
    def runs(self) -> "RunServiceAsyncStub":
        """Raises ValueError when the client was opened without `run`."""
        if self._runs is None:
            raise ValueError(NO_RUN_SERVICE)
        return self._runs


@asynccontextmanager
async def open_async_client(
    *,
    workflow: str,
    deploy: str,
    run: str | None = None,
    token: str,
    timeout_seconds: float = TIMEOUT_SECONDS,
    credentials: grpc.ChannelCredentials | None = None,
) -> AsyncIterator[AsyncClient]:
    """Connected until the block ends.

    `workflow`, `deploy` and `run` say where the services answer: host:port, several with commas between them. Without
    `run`, the client has no `runs`. `timeout_seconds` is the deadline of calls without a `timeout`; streams get none.
    Where the services speak TLS, `credentials` are those of `grpc.ssl_channel_credentials`.
    """
    every_call = [_EveryCall(token, timeout_seconds), _EveryStream(token)]
    async with AsyncExitStack() as channels:
        workflow_channel = await channels.enter_async_context(_channel(workflow, credentials, every_call))
        deploy_channel = await channels.enter_async_context(_channel(deploy, credentials, every_call))
        run_channel = await channels.enter_async_context(_channel(run, credentials, every_call)) if run else None
        yield AsyncClient(
            workflows=WorkflowServiceStub(workflow_channel),
            identity=IdentityServiceStub(workflow_channel),
            deploys=DeployServiceStub(deploy_channel),
            _runs=RunServiceStub(run_channel) if run_channel else None,
        )


def _channel(addresses: str, credentials: grpc.ChannelCredentials | None, every_call: list[Any]) -> grpc.aio.Channel:
    target, options = target_of(addresses), channel_options()
    if credentials is None:
        return grpc.aio.insecure_channel(target, options, interceptors=every_call)
    return grpc.aio.secure_channel(target, credentials, options, interceptors=every_call)


class _EveryCall(grpc.aio.UnaryUnaryClientInterceptor):
    """Adds the token, and a deadline where the caller gave none. (Call credentials would want TLS.)"""

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


class _EveryStream(grpc.aio.UnaryStreamClientInterceptor):
    """Adds the token."""

    def __init__(self, token: str) -> None:
        self._authorization = ("authorization", f"Bearer {token}")

    async def intercept_unary_stream(
        self, continuation: Callable[..., Awaitable[Any]], client_call_details: Any, request: Any
    ) -> Any:
        metadata = grpc.aio.Metadata(self._authorization, *(client_call_details.metadata or ()))
        return await continuation(client_call_details._replace(metadata=metadata), request)
