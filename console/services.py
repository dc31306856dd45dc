"""Calls the services as the signed-in person."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import TypeVar

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import Message

from console.settings import Settings
from service_kit.calls import Rpc, SecondTries, StreamRpc, single_call, streamed_call
from service_kit.channel import Interceptor, may_be_several, open_channel
from service_kit.errors import Unimplemented, Unreachable
from service_kit.http.token_checks import TokenChecks, ping_path
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.identity.v1 import identity_pb2
from service_kit.pb.flowpin.run.v1 import run_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2

CONTRACTS: Mapping[str, list[FileDescriptor]] = {
    "workflow": [identity_pb2.DESCRIPTOR, workflow_pb2.DESCRIPTOR],
    "deploy": [deploy_pb2.DESCRIPTOR],
    "run": [run_pb2.DESCRIPTOR],
}
"""The contracts of each service."""
TIMEOUTS = {"TestFlow": 600.0, "TestVersion": 600.0, "DeployApp": 60.0, "CreateApp": 60.0, "RollbackApp": 60.0}
"""Timeouts in seconds of RPCs that may take longer than the setting."""
STREAM_IDLE_SECONDS = 360.0

T = TypeVar("T", bound=Message)


class Services:
    """Finds the RPC by the request's type: a `ListAppsRequest` goes to `ListApps` of its package's service."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel], settings: Settings) -> None:
        self.channels = channels
        self._rpcs: dict[str, Rpc] = {}
        self._streams: dict[str, StreamRpc] = {}
        self._service_of: dict[str, str] = {}
        self._checks: list[TokenChecks] = []
        targets = targets_of(settings)
        for service, contracts in CONTRACTS.items():
            for rpc_service in (each for contract in contracts for each in contract.services_by_name.values()):
                for rpc in rpc_service.methods:
                    self._service_of[rpc.input_type.full_name] = service
            if service not in channels:
                continue
            # With a single replica a second try would only add load.
            tries = SecondTries(settings.second_try_seconds) if may_be_several(targets[service]) else None
            channel = channels[service]
            for rpc_service in (each for contract in contracts for each in contract.services_by_name.values()):
                for rpc in rpc_service.methods:
                    path, kind = f"/{rpc_service.full_name}/{rpc.name}", rpc.input_type.full_name
                    if rpc.server_streaming:
                        self._streams[kind] = streamed_call(channel, path, STREAM_IDLE_SECONDS)
                    else:
                        seconds = TIMEOUTS.get(rpc.name, settings.timeout_seconds)
                        self._rpcs[kind] = single_call(channel, path, seconds, tries)
            if service != "run":
                ping = single_call(channel, ping_path(contracts), settings.timeout_seconds, tries)
                self._checks.append(TokenChecks(ping))

    def name_of(self, request: Message) -> str:
        """The service of `request`: workflow, deploy or run."""
        return self._service_of[request.DESCRIPTOR.full_name]

    async def call(self, request: Message, answer: type[T], metadata: Mapping[str, str]) -> T:
        """Raises ServiceError."""
        rpc = self._rpcs.get(request.DESCRIPTOR.full_name)
        if rpc is None:
            raise Unimplemented("Apps do not run here: CONSOLE_RUN_TARGET names no run service.")
        message, _ = await rpc(request.SerializeToString(), metadata)
        return answer.FromString(message)

    async def stream(self, request: Message, answer: type[T], metadata: Mapping[str, str]) -> AsyncGenerator[T, None]:
        """The messages of a streaming RPC, to be closed by `aclosing`. Raises ServiceError."""
        rpc = self._streams.get(request.DESCRIPTOR.full_name)
        if rpc is None:
            raise Unimplemented("Apps do not run here: CONSOLE_RUN_TARGET names no run service.")
        async with aclosing(rpc(request.SerializeToString(), metadata)) as messages:
            async for message in messages:
                yield answer.FromString(message)

    async def check_token(self, token: str) -> bytes:
        """The digest of a valid token, checked by any service that answers. Raises ServiceError."""
        for check in self._checks[:-1]:
            try:
                return await check.check(f"Bearer {token}")
            except Unreachable:
                continue
        return await self._checks[-1].check(f"Bearer {token}")


@asynccontextmanager
async def open_services(settings: Settings, interceptors: list[Interceptor]) -> AsyncIterator[Services]:
    async with AsyncExitStack() as stack:
        channels = {}
        for service, target in targets_of(settings).items():
            spoken = [each for contract in CONTRACTS[service] for each in contract.services_by_name.values()]
            channel = open_channel(target, *spoken, interceptors=interceptors, tls=settings.channel_tls)
            channels[service] = await stack.enter_async_context(channel)
        yield Services(channels, settings)


def targets_of(settings: Settings) -> Mapping[str, str]:
    """The channels, by service."""
    run = {} if settings.run_target is None else {"run": settings.run_target}
    return {"workflow": settings.workflow_target, "deploy": settings.deploy_target, **run}
