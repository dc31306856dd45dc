"""A small host process within the tests' process. It uses the protocols of hosts and replicas; its flows are scripted.

A flow is a JSON object: `name` is in its output; `start_seconds`, `later_by` (additional seconds for each start),
`fails` (a reason) and `dies` describe its start. A run's input is a JSON object too: `sleep` (seconds), `fail`,
`stream` (number of events), `die` and `stubborn` (it cannot be canceled). Any other input is answered with the flow's
name and the input.
"""

import asyncio
import hashlib
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from run_service.hosting.channel import Channel


def flow(name: str, **told: Any) -> bytes:
    return json.dumps({"name": name, **told}).encode()


def digest(document: bytes) -> str:
    return hashlib.sha256(document).hexdigest()


class StandInReplica:
    def __init__(self, host: "StandInHost", spec: dict[str, Any], number: int) -> None:
        self.host = host
        self.flow = json.loads(spec["flow"])
        self.variables = spec["variables"]
        self.described = {
            "id": f"replica-{number}",
            "deployment_id": spec["deployment_id"],
            "project_id": spec["project_id"],
            "digest": spec["digest"],
            "pid": number,
            "slots": spec["slots"],
            "labels": spec["labels"],
        }
        self.runs: dict[str, asyncio.Task[None]] = {}
        self.most_runs = 0
        self.served = 0
        self.grown = 0
        """Bytes of memory that `usage` reports."""
        self._connections: list[Channel] = []
        self._serving: list[asyncio.Task[None]] = []

    @property
    def id(self) -> str:
        return str(self.described["id"])

    def connect(self, descriptor: int) -> None:
        self._serving.append(asyncio.create_task(self._serve(Channel(socket.socket(fileno=descriptor)))))

    async def end(self) -> None:
        for task in (*self._serving, *self.runs.values()):
            task.cancel()
        for channel in self._connections:
            channel.close()
        self._connections.clear()

    async def _serve(self, channel: Channel) -> None:
        self._connections.append(channel)
        while (body := await channel.receive()) is not None:
            message = json.loads(body)
            if message["type"] == "run":
                self.runs[message["run_id"]] = asyncio.create_task(self._run(channel, message))
                self.most_runs = max(self.most_runs, len(self.runs))
            elif (run := self.runs.get(message["run_id"])) is not None:
                run.cancel()

    async def _run(self, channel: Channel, message: dict[str, Any]) -> None:
        run_id, given = message["run_id"], message["input"]
        self.host.runs[self.flow["name"]] += 1
        self.served += 1

        async def send(kind: str, **fields: Any) -> None:
            await channel.send(json.dumps({"type": kind, "run_id": run_id, **fields}).encode())

        await send("started")
        try:
            for number in range(given.get("stream", 0)):
                await send("streamed", name="streaming", data={"choices": [{"delta": {"content": str(number)}}]})
                await asyncio.sleep(given.get("between", 0))
            await asyncio.sleep(given.get("sleep", 0))
        except asyncio.CancelledError:
            self.host.canceled += 1
            if not given.get("stubborn"):
                await send("ended", status="canceled", output=None, error=None, node=None)
            return
        finally:
            self.runs.pop(run_id, None)
        if given.get("die"):
            await self.host.end(self, "EXITED", "The replica ended by itself.")
        elif given.get("fail"):
            await send("ended", status="failed", output=None, error="division by zero", node="calculator")
        else:
            output = given.get("answer", {"output": {"flow": self.flow["name"], "input": given}})
            await send("ended", status="completed", output=output, error=None, node=None)


class StandInHost:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.replicas: dict[str, StandInReplica] = {}
        self.starts: Counter[str] = Counter()
        """Numbers of started replicas, by the flow's name."""
        self.runs: Counter[str] = Counter()
        self.canceled = 0
        self.places = 100
        self._number = 0
        self._routers: list[Channel] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def of_flow(self, name: str) -> list[StandInReplica]:
        return [replica for replica in self.replicas.values() if replica.flow["name"] == name]

    async def end(self, replica: StandInReplica, reason: str, message: str) -> None:
        if self.replicas.pop(replica.id, None) is None:
            return
        await replica.end()
        ended = {"replica": replica.described, "reason": reason, "message": message}
        for router in list(self._routers):
            with suppress(ConnectionError):
                await router.send(json.dumps({"type": "ended", "ended": ended}).encode())

    async def accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(listener)
            self._start(self._serve(Channel(sock)))

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End as if the process was killed, with its replicas."""
        for replica in list(self.replicas.values()):
            await replica.end()
        for task in list(self._tasks):
            task.cancel()
        for router in self._routers:
            router.close()

    async def _serve(self, router: Channel) -> None:
        self._routers.append(router)
        while (body := await router.receive()) is not None:
            message = json.loads(body)
            if message["type"] == "connect":  # descriptors arrive in the order of the frames
                message["descriptor"] = router.take_descriptor()
            self._start(self._answer(router, message))

    async def _answer(self, router: Channel, message: dict[str, Any]) -> None:
        kind = message["type"]
        answer: dict[str, Any] = {"type": "done", "id": message["id"], "replicas": []}
        replica = self.replicas.get(message.get("replica_id", ""))
        if kind == "start":
            answer |= await self._start_replica(message["spec"])
        elif kind == "list":
            answer["replicas"] = [each.described for each in self.replicas.values()]
        elif kind == "usage":
            answer["usage"] = {
                each.id: {"grown_bytes": each.grown, "cpu_seconds": 0} for each in self.replicas.values()
            }
        elif replica is None:
            answer |= {"type": "refused", "reason": "REPLICA_GONE", "message": "The replica is gone."}
        elif kind == "connect":
            replica.connect(message["descriptor"])
        elif kind == "stop":
            await self.end(replica, "STOPPED", "The replica was stopped.")
        elif kind == "kill":
            await self.end(replica, "RUN_STUCK", message["message"])
        with suppress(ConnectionError):
            await router.send(json.dumps(answer).encode())

    async def _start_replica(self, spec: dict[str, Any]) -> dict[str, Any]:
        told = json.loads(spec["flow"])
        self.starts[told["name"]] += 1
        await asyncio.sleep(told.get("start_seconds", 0) + told.get("later_by", 0) * self.starts[told["name"]])
        if len(self.replicas) >= self.places:
            return {"type": "refused", "reason": "HOST_FULL", "message": "The host process starts no more replicas."}
        if reason := told.get("fails"):
            return {"type": "refused", "reason": reason, "message": f"The flow {told['name']} is not good."}
        if missing := told.get("needs", "") not in ("", *spec["variables"]) and told["needs"]:
            return {"type": "refused", "reason": "VARIABLE_MISSING", "message": f"The variable {missing} is not set."}
        self._number += 1
        replica = StandInReplica(self, spec, self._number)
        self.replicas[replica.id] = replica
        return {"replicas": [replica.described]}


@asynccontextmanager
async def running_host(path: Path) -> AsyncIterator[StandInHost]:
    listener = _listening(path)
    host = StandInHost(path)
    accepting = asyncio.create_task(host.accept(listener))
    try:
        yield host
    finally:
        accepting.cancel()
        await asyncio.wait([accepting])
        listener.close()
        await host.close()


def _listening(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.setblocking(False)
    listener.bind(str(path))
    listener.listen(16)
    return listener
