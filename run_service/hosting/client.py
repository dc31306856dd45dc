"""The library with which a router calls the host process.

    async with open_host(socket_path) as host:
        replica = await host.start(spec)
        async with host.connect(replica.id) as connection, aclosing(connection.run(request)) as events:
            async for event in events: ...

Router and host exchange frames (run_service/worker/frames.py) on the host's Unix socket:

    router → host    {"type": "start", "id", "replica_id": a new one, "spec": {…, "flow": the document as text}}
                     {"type": "connect", "id", "replica_id"} with one descriptor: the replica's end of a socket pair
                     {"type": "stop", "id", "replica_id", "grace_seconds"}
                     {"type": "kill", "id", "replica_id", "message"}
                     {"type": "list", "id"}, {"type": "usage", "id"}
    host   → router  {"type": "done", "id", "replicas": [ … ], "usage": {replica id: …}}
                     {"type": "refused", "id", "reason", "message"}
                     {"type": "ended", "ended": {"replica", "reason", "message"}}: to every router

Answers come in any order. When a router disconnects, its replicas continue to run.
"""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from run_service.hosting.channel import Channel
from run_service.hosting.connection import GRACE_SECONDS, Connection
from run_service.hosting.model import (
    HOST_FULL,
    HostGone,
    Replica,
    ReplicaEnded,
    ReplicaFailed,
    ReplicaGone,
    ReplicaSpec,
    ReplicaUsage,
    RunEnded,
    RunEvent,
    RunRequest,
    RunStarted,
    RunStreamed,
    SpecMessage,
)
from run_service.worker.frames import MAX_ANSWER_BYTES

__all__ = [
    "HOST_FULL",
    "Connection",
    "HostClient",
    "HostGone",
    "Replica",
    "ReplicaEnded",
    "ReplicaFailed",
    "ReplicaGone",
    "ReplicaSpec",
    "ReplicaUsage",
    "RunEnded",
    "RunEvent",
    "RunRequest",
    "RunStarted",
    "RunStreamed",
    "open_host",
]

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
"""Seconds for every request except `start` and `stop`, which have their own limits."""
START_SECONDS = 300.0
"""Longer than the host itself waits for a runtime's import and for a flow to load."""
REMEMBERED_ENDINGS = 1000


class Answer(msgspec.Struct):
    """A message from the host."""

    type: str
    id: int = 0
    replicas: list[Replica] = []
    usage: dict[str, ReplicaUsage] = {}
    reason: str = ""
    message: str = ""
    ended: ReplicaEnded | None = None


@asynccontextmanager
async def open_host(path: Path, grace_seconds: float = GRACE_SECONDS) -> AsyncIterator["HostClient"]:
    """Connect to the host process.

    `grace_seconds` is how long a canceled run may take before its replica is killed. When the host ends, all calls in
    progress and all later calls raise HostGone.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().sock_connect(sock, str(path))
    except (OSError, TimeoutError) as error:
        sock.close()
        raise HostGone(f"The host process does not answer at {path}: {error or 'timed out'}.") from error
    channel = Channel(sock)
    host = HostClient(channel, grace_seconds)
    receiving = asyncio.create_task(host.receive())
    try:
        yield host
    finally:
        receiving.cancel()
        await asyncio.wait([receiving])
        channel.close()


class HostClient:
    """A connection to the host process."""

    def __init__(self, channel: Channel, grace_seconds: float) -> None:
        self._channel = channel
        self._grace_seconds = grace_seconds
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._endings: asyncio.Queue[ReplicaEnded | None] = asyncio.Queue()
        self._why_gone: dict[str, str] = {}
        self._ended = asyncio.Condition()
        self._gone = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: set[Connection] = set()

    async def start(self, spec: ReplicaSpec) -> Replica:
        """Start a replica. Returns when it has loaded the flow and reported the same digest. Raises ReplicaFailed."""
        replica_id = uuid4().hex
        message = {"type": "start", "replica_id": replica_id, "spec": SpecMessage.of(spec)}
        try:
            answer = await self._ask(message, START_SECONDS)
        except asyncio.CancelledError:  # no caller waits for it any more
            task = asyncio.create_task(self._kill(replica_id, "The start was canceled."))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            raise
        return answer.replicas[0]

    @asynccontextmanager
    async def connect(self, replica_id: str) -> AsyncIterator[Connection]:
        """A connection to a replica. Its end cancels the runs on it. Raises ReplicaGone."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                await self._ask({"type": "connect", "replica_id": replica_id}, ANSWER_SECONDS, theirs.fileno())
            except ReplicaFailed as error:
                ours.close()
                raise ReplicaGone(error.message) from error
            except BaseException:
                ours.close()
                raise
        channel = Channel(ours, MAX_ANSWER_BYTES)
        connection = Connection(
            channel,
            kill=lambda message: self._kill(replica_id, message),
            why_gone=lambda: self._reason(replica_id),
            grace_seconds=self._grace_seconds,
        )
        receiving = asyncio.create_task(connection.receive())
        self._connections.add(connection)
        try:
            yield connection
        finally:
            self._connections.remove(connection)
            receiving.cancel()
            await asyncio.wait([receiving])
            channel.close()
            connection.lose("The router closed its connection to the replica.")

    async def stop(self, replica_id: str, grace_seconds: float) -> None:
        """End a replica when it has no run, at the latest after `grace_seconds`. Returns when it has ended."""
        message = {"type": "stop", "replica_id": replica_id, "grace_seconds": grace_seconds}
        try:
            await self._ask(message, grace_seconds + ANSWER_SECONDS)
        except ReplicaFailed:
            return  # it has already ended

    async def list(self) -> list[Replica]:
        """All running replicas, whichever router started them."""
        return (await self._ask({"type": "list"}, ANSWER_SECONDS)).replicas

    async def usage(self) -> dict[str, ReplicaUsage]:
        """Usage by replica id, to find replicas that have grown."""
        return (await self._ask({"type": "usage"}, ANSWER_SECONDS)).usage

    async def ended(self) -> AsyncIterator[ReplicaEnded]:
        """Yields each replica that ends after the client was opened, for whatever reason. Raises HostGone."""
        while (ending := await self._endings.get()) is not None:
            yield ending
        self._endings.put_nowait(None)
        raise HostGone("The host process ended.")

    async def receive(self) -> None:
        decoder = msgspec.json.Decoder(Answer)
        try:
            while (body := await self._channel.receive()) is not None:
                answer = decoder.decode(body)
                if answer.ended is not None:
                    await self._note(answer.ended)
                elif (waiting := self._waiting.get(answer.id)) is not None and not waiting.done():
                    waiting.set_result(answer)
        finally:
            self._gone = True
            for connection in self._connections:  # processes that a flow started may still hold the other ends
                connection.lose("The host process ended, and the replica with it.")
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(HostGone("The host process ended."))
            self._endings.put_nowait(None)

    async def _note(self, ending: ReplicaEnded) -> None:
        self._endings.put_nowait(ending)
        self._why_gone[ending.replica.id] = ending.message
        if len(self._why_gone) > REMEMBERED_ENDINGS:
            del self._why_gone[next(iter(self._why_gone))]
        async with self._ended:
            self._ended.notify_all()

    async def _reason(self, replica_id: str) -> str:
        """Why a replica ended. The host reports it a moment after the connection ended."""
        try:
            async with asyncio.timeout(1), self._ended:
                await self._ended.wait_for(lambda: replica_id in self._why_gone)
        except TimeoutError:
            return "The replica ended before the run did."
        return self._why_gone[replica_id]

    async def _kill(self, replica_id: str, message: str) -> None:
        try:
            await self._ask({"type": "kill", "replica_id": replica_id, "message": message}, ANSWER_SECONDS)
        except (ReplicaFailed, HostGone):
            return  # it has already ended

    async def _ask(self, message: dict[str, Any], seconds: float, *descriptors: int) -> Answer:
        with self._answer() as (number, waiting):
            try:
                await self._channel.send(msgspec.json.encode(message | {"id": number}), descriptors)
                async with asyncio.timeout(seconds):
                    answer = await waiting
            except ConnectionError as error:
                raise HostGone("The host process ended.") from error
            except TimeoutError as error:
                raise HostGone(f"The host process did not answer {message['type']} within {seconds:g} s.") from error
        if answer.type == "refused":
            raise ReplicaFailed(answer.reason, answer.message)
        return answer

    @contextmanager
    def _answer(self) -> Iterator[tuple[int, "asyncio.Future[Answer]"]]:
        if self._gone:
            raise HostGone("The host process ended.")
        number = next(self._ids)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            yield number, self._waiting[number]
        finally:
            del self._waiting[number]
