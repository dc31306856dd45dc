"""Reads and writes over REST and gRPC at a steady rate, with the start, duration and outcome of each."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiohttp
import grpc

from service_kit.channel import open_channel
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.pb.flowpin.workflow.v1.workflow_pb2_grpc import WorkflowServiceStub
from tests.support.stack import FLOW, FLOW_UI, People

PAUSE_SECONDS = 0.03
READY = "ready"
READS = ("rest read", "grpc read")


@dataclass(frozen=True)
class TimedCall:
    """One call. `began` is in seconds since the load began."""

    kind: str
    began: float
    seconds: float
    outcome: str
    """`ok`, or the HTTP status or gRPC code, with its reason."""

    @property
    def failed(self) -> bool:
        return self.outcome != "ok"


class SteadyLoad:
    """Callers that work until the block ends: REST through the gateway, gRPC through our channel to all replicas."""

    def __init__(self, url: str, workflow_targets: str, people: People) -> None:
        self._url = url
        self._targets = workflow_targets
        self._people = people
        self._began = time.monotonic()
        self._stopping = False
        self.calls: list[TimedCall] = []

    @property
    def now(self) -> float:
        return time.monotonic() - self._began

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            connector = aiohttp.TCPConnector(limit=0)
            self._http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            services = pb.DESCRIPTOR.services_by_name.values()
            channel = await stack.enter_async_context(open_channel(self._targets, *services))
            self._stub = WorkflowServiceStub(channel)
            await self._prepare()
            self._began = time.monotonic()
            kinds: dict[str, tuple[int, Callable[[], Awaitable[str]]]] = {
                "rest read": (6, self._read),
                "rest save": (3, self._save),
                "rest keyed save": (3, lambda: self._save(f"key-{uuid4().hex}")),
                "rest deploy": (2, self._deploy),
                "grpc read": (4, self._read_by_grpc),
                "grpc save": (2, self._save_by_grpc),
                READY: (1, self._ready),
            }
            tasks = [
                asyncio.create_task(self._again(kind, call))
                for kind, (count, call) in kinds.items()
                for _ in range(count)
            ]
            yield
            self._stopping = True
            await asyncio.gather(*tasks)

    def of(self, *kinds: str, since: float = 0.0, until: float = float("inf")) -> list[TimedCall]:
        """The calls that began in this time. Default kinds: all except `ready`."""
        return [
            call
            for call in self.calls
            if (call.kind in kinds if kinds else call.kind != READY) and since <= call.began < until
        ]

    def summary(self, since: float, until: float) -> str:
        """For each kind the number of calls, the failures by outcome, and the slowest success."""
        lines = []
        for kind in dict.fromkeys(call.kind for call in sorted(self.calls, key=lambda call: call.kind)):
            calls = self.of(kind, since=since, until=until)
            bad = Counter(call.outcome for call in calls if call.failed)
            slowest = max((call.seconds for call in calls if not call.failed), default=0)
            lines.append(
                f"{kind}: {len(calls)}, failed {sum(bad.values())} {dict(bad)}, slowest success {slowest:.2f} s"
            )
        return "\n".join(lines)

    async def _again(self, kind: str, call: Callable[[], Awaitable[str]]) -> None:
        while not self._stopping:
            began = self.now
            outcome = await call()
            self.calls.append(TimedCall(kind, began, self.now - began, outcome))
            await asyncio.sleep(PAUSE_SECONDS)

    async def _prepare(self) -> None:
        documents = {"flow": json.loads(FLOW), "flow_ui": json.loads(FLOW_UI)}
        named = {"name": "steady", "project_id": str(self._people.project)}
        self._workflow = (await self._ok("POST", "/v1/workflows", {**named, **documents}))["id"]
        self._version = (await self._ok("POST", f"/v1/workflows/{self._workflow}/save", documents))["id"]
        self._app = (await self._ok("POST", "/v1/apps", {**named, "workflow_id": self._workflow}))["id"]

    async def _read(self) -> str:
        return (await self._rest("GET", f"/v1/workflows/{self._workflow}/versions/{self._version}"))[0]

    async def _save(self, key: str | None = None) -> str:
        body = {"flow": {"nodes": [{"id": "n", "type": "x.Y", "key": uuid4().hex}]}, "flow_ui": {}}
        headers = {} if key is None else {"Idempotency-Key": key}
        return (await self._rest("POST", f"/v1/workflows/{self._workflow}/save", body, headers))[0]

    async def _deploy(self) -> str:
        body = {"workflow_id": self._workflow, "workflow_version_id": None}
        return (await self._rest("POST", f"/v1/apps/{self._app}/deploy", body))[0]

    async def _ready(self) -> str:
        async with self._http.get(f"{self._url}/health/ready") as response:
            said = await response.text()
        return "ok" if response.status == 200 else said

    async def _read_by_grpc(self) -> str:
        request = pb.GetVersionRequest(workflow_id=self._workflow, version=self._version)
        return await self._rpc(self._stub.GetVersion(request, metadata=self._metadata, timeout=30))

    async def _save_by_grpc(self) -> str:
        flow = pb.Json(utf8=b'{"nodes": [{"id": "n", "type": "x.Y", "key": "%s"}]}' % uuid4().hex.encode())
        request = pb.SaveWorkflowRequest(workflow_id=self._workflow, flow=flow, flow_ui=pb.Json(utf8=b"{}"))
        return await self._rpc(self._stub.SaveWorkflow(request, metadata=self._metadata, timeout=30))

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self._people.secret('admin')}"),)

    @staticmethod
    async def _rpc(call: Any) -> str:
        try:
            await call
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name} {ServiceError.from_rpc_error(error).reason}"
        return "ok"

    async def _ok(self, method: str, path: str, body: Any) -> Any:
        outcome, answer = await self._rest(method, path, body)
        assert outcome == "ok", (path, outcome)
        return json.loads(answer)["data"]

    async def _rest(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[str, bytes]:
        sent = {"Authorization": f"Bearer {self._people.secret('admin')}", **(headers or {})}
        content = None if body is None else json.dumps(body).encode()
        async with self._http.request(method, self._url + path, data=content, headers=sent) as response:
            answer = await response.read()
        if response.status < 300:
            return "ok", answer
        return f"{response.status} {json.loads(answer)['error'].get('details', {}).get('reason')}", answer
