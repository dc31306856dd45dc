"""All services, the host process and its replicas together. Only the runtime is scripted."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from run_service.service import running_run_service
from run_service.settings import Settings
from service_kit.channel import open_channel
from service_kit.pb.flowpin.run.v1.run_pb2_grpc import RunServiceStub
from tests.support.hosting.host_process import HostProcess, standin_runtime
from tests.support.ports import free_port
from tests.support.stack import Answer, Stack, fresh_stack, running_stack
from tests.support.waiting import eventually

DEFAULT_RUNTIME = "0.69"
"""The runtime that a new schema of the deploy service has."""


@dataclass
class Installation:
    stack: Stack
    host: HostProcess
    key: str = ""
    port: int = 0
    run_target: str = ""
    runs: RunServiceStub = None  # type: ignore[assignment]  # set while running

    async def call(self, app_id: str, given: Any = None, **headers: str) -> Answer:
        sent = {"Authorization": f"Bearer {self.key}", **headers}
        async with self.stack.session.post(
            f"http://127.0.0.1:{self.port}/apps/{app_id}", json={"input": given or {}}, headers=sent
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def is_ready(self) -> bool:
        async with self.stack.session.get(f"http://127.0.0.1:{self.port}/health/ready") as answer:
            body = await answer.json()
        return bool(answer.status == 200 and body["host"] == "serving")

    async def new_key(self) -> Any:
        body = {"project_id": str(self.stack.people.project), "name": "key"}
        return await self.stack.ok("POST", "/v1/access-keys", body)


@asynccontextmanager
async def running_installation(
    urls: Mapping[str, str],
    folder: Path,
    sdk: Path | None = None,
    *,
    workflow: Mapping[str, Any] | None = None,
    deploy: Mapping[str, Any] | None = None,
    front: Mapping[str, Any] | None = None,
    versions: Sequence[str] = (DEFAULT_RUNTIME,),
    **settings: Any,
) -> AsyncIterator[Installation]:
    """With the runtime at `sdk`, or a stand-in whose flows answer with what they were given; or one of each of
    `versions`."""
    host = HostProcess()
    async with AsyncExitStack() as running:
        stack = await running.enter_async_context(fresh_stack(urls, folder))
        installation = Installation(stack, host)
        running.callback(host.end)
        runtimes = _runtimes(host.folder, sdk, versions)
        host.start()
        own = {"rollout_driver": "local", "wait_seconds": 240, "variable_keys": SecretStr("0" * 64)}
        deploy = {**own, **(deploy or {})}
        grpc_port = free_port()
        installation.run_target = f"127.0.0.1:{grpc_port}"
        front = {"timeout_seconds": 250, "run_target": installation.run_target, **(front or {})}
        await running.enter_async_context(running_stack(stack, workflow=workflow, deploy=deploy, front=front))
        chosen = Settings(
            listen="127.0.0.1:0",
            grpc_listen=f"127.0.0.1:{grpc_port}",
            database_url=SecretStr(stack.urls["flowpin_run"]),
            access_file=stack.people.path,
            deploy_target=f"127.0.0.1:{stack.deploy_port}",
            deploy_token=SecretStr(stack.people.secret("runner")),
            workflow_target=f"127.0.0.1:{stack.workflow_port}",
            host_socket=host.socket,
            runtimes=runtimes,
            drain_seconds=0,
            **settings,
        )
        ports = await running.enter_async_context(running_run_service(chosen, "run"))
        installation.port = ports.apps
        channel = await running.enter_async_context(open_channel(f"127.0.0.1:{grpc_port}"))
        installation.runs = RunServiceStub(channel)
        installation.key = (await installation.new_key())["key"]
        await eventually(installation.is_ready, seconds=30)
        yield installation


def _runtimes(folder: Path, sdk: Path | None, versions: Sequence[str]) -> Path:
    runtimes = folder / "runtimes"
    runtimes.mkdir(mode=0o755)
    for version in versions:
        runtimes.joinpath(version).symlink_to(sdk or standin_runtime(folder / f"made-{version}", version))
    return runtimes
