"""Replicas of each service behind the gateway, as processes, and callers that continue while some are killed."""

import asyncio
import json
import os
import random
import re
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

from flowpin_cli.machine.data_folder import PORT_RANGE
from service_kit.channel import open_channel
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.pb.flowpin.workflow.v1.workflow_pb2_grpc import WorkflowServiceStub
from tests.support.replica_proxy import ReplicaProxy
from tests.support.stack import FLOW, FLOW_UI, People

CALL_LINE = re.compile(rb'"event": ?"rpc_handled"')
TRIED_AGAIN = (409, 503)
"""The statuses after which a client sends a call again with the same key: in progress, unavailable."""


def free_ports(count: int) -> list[int]:
    """Below the range of outgoing connections, so a killed replica gets the same port again."""
    with_sockets: dict[int, socket.socket] = {}
    while len(with_sockets) < count:
        probe, port = socket.socket(), random.choice(PORT_RANGE)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            probe.close()
        else:
            with_sockets[port] = probe
    for probe in with_sockets.values():
        probe.close()
    return list(with_sockets)


@dataclass
class Replica:
    """`python -m <service> serve` on a port that it keeps."""

    service: str
    port: int
    env: Mapping[str, str]
    log: Path
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Wait until it listens."""
        seen = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", self.service, "serve", env={**os.environ, **self.env}, stderr=log
            )
        deadline = time.monotonic() + 30
        while b'"listener_started"' not in self.log.read_bytes()[seen:]:
            assert self.process.returncode is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            await asyncio.sleep(0.05)

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def drain(self) -> int:
        """Ask it to stop. Returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 15)

    def calls(self) -> int:
        """The number of calls it has answered."""
        return len(CALL_LINE.findall(self.log.read_bytes()))


@dataclass
class Replicas:
    workflow: list[Replica]
    deploy: list[Replica]
    gateway: Replica

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}"

    def calls(self) -> dict[str, list[int]]:
        return {
            "workflow": [replica.calls() for replica in self.workflow],
            "deploy": [replica.calls() for replica in self.deploy],
        }


@asynccontextmanager
async def running_replicas(
    count: int, urls: Mapping[str, str], people: People, folder: Path, proxy: ReplicaProxy | None = None
) -> AsyncIterator[Replicas]:
    """`count` replicas of each service and a gateway, on a migrated database.

    With `proxy`, the first workflow service is called through it.
    """
    ports = free_ports(2 * count + 1)
    called = list(ports[:count])
    if proxy is not None:
        proxy.behind, called[0] = called[0], proxy.port
    targets = {
        "workflow": ",".join(f"127.0.0.1:{port}" for port in called),
        "deploy": ",".join(f"127.0.0.1:{port}" for port in ports[count:-1]),
    }

    def replica(name: str, port: int, **settings: str) -> Replica:
        service, prefix = (name, "GATEWAY") if name == "gateway" else (f"{name}_service", name.upper())
        settings |= {"listen": f"127.0.0.1:{port}", "log_format": "json"}
        if name != "gateway":
            settings |= {"database_url": urls[f"flowpin_{name}"], "access_file": str(people.path)}
        env = {f"{prefix}_{key.upper()}": value for key, value in settings.items()}
        return Replica(service, port, env, folder / f"{name}-{port}.log")

    asking = {"workflow_target": targets["workflow"], "workflow_token": people.secret("service")}
    front = {"workflow_target": targets["workflow"], "deploy_target": targets["deploy"]}
    replicas = Replicas(
        [replica("workflow", port) for port in ports[:count]],
        [replica("deploy", port, **asking) for port in ports[count:-1]],
        replica("gateway", ports[-1], **front),
    )
    everything = [*replicas.workflow, *replicas.deploy, replicas.gateway]
    try:
        await asyncio.gather(*(each.start() for each in everything))
        yield replicas
    finally:
        for each in everything:
            if each.process is not None and each.process.returncode is None:
                await each.kill()


@dataclass
class Call:
    """One request and the statuses of its tries. The last one counts."""

    phase: str
    what: str
    statuses: list[int] = field(default_factory=list)
    said: str = ""
    """The text of the last unsuccessful answer."""

    @property
    def succeeded(self) -> bool:
        return self.statuses[-1] < 300


@dataclass
class Write:
    """A write under a key, and its final answer."""

    key: str
    data: dict[str, Any] | None = None


class Load:
    """Readers and writers that call until the block ends. Each call is recorded in the phase in which it began."""

    def __init__(self, url: str, people: People, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._people = people
        self._session = session
        self.phase = "before"
        self.calls: list[Call] = []
        self.saves: list[Write] = []
        self.deploys: list[Write] = []
        self.workflow: dict[str, Any] = {}
        self.app: dict[str, Any] = {}
        self._stopping = False

    async def prepare(self) -> None:
        documents = {"flow": json.loads(FLOW), "flow_ui": json.loads(FLOW_UI)}
        named = {"name": "flow", "project_id": str(self._people.project)}
        self.workflow = await self.ok("POST", "/v1/workflows", {**named, **documents})
        await self._save()
        self.app = await self.ok("POST", "/v1/apps", {**named, "workflow_id": self.workflow["id"]})

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        version = f"{self._of_workflow}/versions/{self.saves[0].data['id']}"
        reads = [version, f"{self._of_workflow}/versions", self._of_app, f"{self._of_app}/deployments"]
        tasks = [asyncio.create_task(self._again(lambda path=path: self._read(path))) for path in reads * 2]
        tasks += [asyncio.create_task(self._again(self._save)) for _ in range(3)]
        tasks += [asyncio.create_task(self._again(self._deploy)) for _ in range(2)]
        try:
            yield
        finally:
            self._stopping = True
            await asyncio.gather(*tasks)

    @property
    def _of_workflow(self) -> str:
        return f"/v1/workflows/{self.workflow['id']}"

    @property
    def _of_app(self) -> str:
        return f"/v1/apps/{self.app['id']}"

    async def _again(self, work: Callable[[], Awaitable[None]]) -> None:
        while not self._stopping:
            await work()
            await asyncio.sleep(0.02)

    async def _read(self, path: str) -> None:
        call = Call(self.phase, f"GET {path}")
        self.calls.append(call)
        await self._send(call, "GET", path, None, {})

    async def _save(self) -> None:
        write = Write(f"save-{uuid4().hex}")
        self.saves.append(write)
        nodes = [{"id": "n", "type": "x.Y", "key": write.key}]
        body = {"flow": {"nodes": nodes}, "flow_ui": {}, "description": write.key}
        write.data = await self._write(f"{self._of_workflow}/save", body, write.key)

    async def _deploy(self) -> None:
        write = Write(f"deploy-{uuid4().hex}")
        self.deploys.append(write)
        body = {"workflow_id": self.workflow["id"], "reason": write.key}
        write.data = await self._write(f"{self._of_app}/deploy", body, write.key)

    async def _write(self, path: str, body: Any, key: str) -> dict[str, Any] | None:
        """Send a write, and repeat it with its key while the answer asks for it."""
        call = Call(self.phase, f"POST {path}")
        self.calls.append(call)
        deadline = time.monotonic() + 10
        while True:
            data = await self._send(call, "POST", path, body, {"Idempotency-Key": key})
            if call.statuses[-1] not in TRIED_AGAIN or time.monotonic() > deadline:
                return data
            await asyncio.sleep(0.1)

    async def _send(self, call: Call, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Any:
        sent = {"Authorization": f"Bearer {self._people.secret('admin')}", **headers}
        content = None if body is None else json.dumps(body).encode()
        async with self._session.request(method, self._url + path, data=content, headers=sent) as response:
            answer = await response.read()
        call.statuses.append(response.status)
        if response.status >= 300:
            call.said = answer.decode()
            return None
        return json.loads(answer)["data"]

    async def ok(self, method: str, path: str, body: Any = None) -> Any:
        call = Call(self.phase, path)
        data = await self._send(call, method, path, body, {})
        assert call.succeeded, (method, path, call.said)
        return data

    async def every(self, path: str) -> list[dict[str, Any]]:
        """All rows of a list."""
        rows: list[dict[str, Any]] = []
        while page := await self.ok("GET", f"{path}page_size=100&page={len(rows) // 100 + 1}"):
            rows += page
            if len(page) < 100:
                break
        return rows

    @asynccontextmanager
    async def hot_loop(self, targets: str) -> AsyncIterator[Counter[str]]:
        """Make gRPC calls, mostly reads, without a pause until the block ends. Counts them by code."""
        codes: Counter[str] = Counter()
        documents = {"flow": pb.Json(utf8=FLOW), "flow_ui": pb.Json(utf8=FLOW_UI)}
        metadata = (("authorization", f"Bearer {self._people.secret('admin')}"),)
        ended = False

        async def call_again_and_again(rpc: Any, request: Any) -> None:
            while not ended:
                codes[(await rpc(request, metadata=metadata, timeout=10).code()).name] += 1

        async with open_channel(targets, *pb.DESCRIPTOR.services_by_name.values()) as channel:
            stub = WorkflowServiceStub(channel)
            draft = pb.CreateWorkflowRequest(project_id=str(self._people.project), name="hot", **documents)
            workflow_id = (await stub.CreateWorkflow(draft, metadata=metadata)).data.id
            save = pb.SaveWorkflowRequest(workflow_id=workflow_id, **documents)
            await stub.SaveWorkflow(save, metadata=metadata)
            read = pb.GetVersionRequest(workflow_id=workflow_id, version="latest")
            calls = [(stub.GetVersion, read)] * 16 + [(stub.SaveWorkflow, save)] * 4
            tasks = [asyncio.create_task(call_again_and_again(*call)) for call in calls]
            yield codes
            ended = True
            await asyncio.gather(*tasks)

    def failed(self, verb: str, *phases: str) -> Counter[str]:
        """The final errors of calls in these phases, with their counts."""
        calls = [call for call in self.calls if call.what.startswith(verb) and (not phases or call.phase in phases)]
        return Counter(call.said for call in calls if not call.succeeded)

    def first_answers(self, verb: str, phase: str) -> Counter[int]:
        calls = [call for call in self.calls if call.what.startswith(verb) and call.phase == phase]
        return Counter(call.statuses[0] for call in calls)
