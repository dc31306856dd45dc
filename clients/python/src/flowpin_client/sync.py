"""The client that blocks until a call is answered."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from flowpin_client.channels import NO_RUN_SERVICE, TIMEOUT_SECONDS, channel_options, target_of
from flowpin_client.pb.flowpin.deploy.v1.deploy_pb2_grpc import DeployServiceStub
from flowpin_client.pb.flowpin.identity.v1.identity_pb2_grpc import IdentityServiceStub
from flowpin_client.pb.flowpin.run.v1.run_pb2_grpc import RunServiceStub
from flowpin_client.pb.flowpin.workflow.v1.workflow_pb2_grpc import WorkflowServiceStub


@dataclass(frozen=True, slots=True)
class Client:
    """Every RPC of the contracts, typed. Calls raise grpc.RpcError; `reason_of` reads it. Threads may share it."""

    workflows: WorkflowServiceStub
    identity: IdentityServiceStub
    deploys: DeployServiceStub
    _runs: RunServiceStub | None = None

    @property
    def runs(self) -> RunServiceStub:
        """Raises ValueError when the client was opened without `run`."""
        if self._runs is None:
            raise ValueError(NO_RUN_SERVICE)
        return self._runs


@contextmanager
def open_client(
    *,
    workflow: str,
    deploy: str,
    run: str | None = None,
    token: str,
    timeout_seconds: float = TIMEOUT_SECONDS,
    credentials: grpc.ChannelCredentials | None = None,
) -> Iterator[Client]:
    """Connected until the block ends.

    `workflow`, `deploy` and `run` say where the services answer: host:port, several with commas between them. Without
    `run`, the client has no `runs`. `timeout_seconds` is the deadline of calls without a `timeout`; streams get none.
    Where the services speak TLS, `credentials` are those of `grpc.ssl_channel_credentials`.
    """
    every_call = _EveryCall(token, timeout_seconds)
    with ExitStack() as channels:
        workflows, deploys = (
            grpc.intercept_channel(channels.enter_context(_channel(addresses, credentials)), every_call)
            for addresses in (workflow, deploy)
        )
        runs = grpc.intercept_channel(channels.enter_context(_channel(run, credentials)), every_call) if run else None
        yield Client(
            workflows=WorkflowServiceStub(workflows),
            identity=IdentityServiceStub(workflows),
            deploys=DeployServiceStub(deploys),
            _runs=RunServiceStub(runs) if runs else None,
        )


def _channel(addresses: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    target, options = target_of(addresses), channel_options()
    if credentials is None:
        return grpc.insecure_channel(target, options)
    return grpc.secure_channel(target, credentials, options)


class _EveryCall(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Adds the token, and a deadline where a call has none; streams may last. (Call credentials would want TLS.)"""

    def __init__(self, token: str, timeout_seconds: float) -> None:
        self._authorization = ("authorization", f"Bearer {token}")
        self._timeout_seconds = timeout_seconds

    def intercept_unary_unary(self, continuation: Callable[..., Any], client_call_details: Any, request: Any) -> Any:
        details = client_call_details
        timeout = self._timeout_seconds if details.timeout is None else details.timeout
        return continuation(self._details(details, timeout), request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], client_call_details: Any, request: Any) -> Any:
        return continuation(self._details(client_call_details, client_call_details.timeout), request)

    def _details(self, given: Any, timeout: float | None) -> "_Details":
        return _Details(given, [self._authorization, *(given.metadata or ())], timeout)


class _Details(grpc.ClientCallDetails):
    """Those of a call, with other metadata and another timeout."""

    def __init__(self, given: Any, metadata: list[tuple[str, str]], timeout: float | None) -> None:
        self.method, self.credentials = given.method, given.credentials
        self.wait_for_ready, self.compression = given.wait_for_ready, given.compression
        self.metadata, self.timeout = metadata, timeout
