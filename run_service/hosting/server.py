"""Serves routers on the host's Unix socket: checks who may connect, and answers requests. client.py describes the
messages."""

import asyncio
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import structlog

from run_service.hosting.channel import Channel
from run_service.hosting.host import Host
from run_service.hosting.model import ReplicaEnded, ReplicaFailed, SpecMessage
from run_service.worker.frames import FrameTooLarge

log = structlog.get_logger()

BACKLOG = 64


class Request(msgspec.Struct):
    """A router's request."""

    type: str
    id: int
    replica_id: str = ""
    spec: SpecMessage | None = None
    grace_seconds: float = 0
    message: str = ""


decoder = msgspec.json.Decoder(Request)


class Routers:
    """The connected routers."""

    def __init__(self) -> None:
        self._connected: dict[Channel, asyncio.TaskGroup] = {}

    def tell(self, ended: ReplicaEnded) -> None:
        """Send a message to every router, without waiting."""
        body = msgspec.json.encode({"type": "ended", "ended": ended})
        for channel, tasks in self._connected.items():
            tasks.create_task(_send(channel, body))

    @contextmanager
    def connected(self, channel: Channel, tasks: asyncio.TaskGroup) -> Iterator[None]:
        self._connected[channel] = tasks
        try:
            yield
        finally:
            del self._connected[channel]


async def serve(path: Path, host: Host, routers: Routers) -> None:
    """Listen at `path` until canceled."""
    with _listener(path) as listener:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            while True:
                sock, _ = await loop.sock_accept(listener)
                tasks.create_task(_serve(Channel(sock), _is_ours(sock), host, routers))


def _listener(path: Path) -> socket.socket:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.parent.stat().st_mode & 0o077:
        raise PermissionError(f"{path.parent} must be open to its owner only (mode 700): the host's socket is there.")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(BACKLOG)
    return listener


async def _serve(channel: Channel, ours: bool, host: Host, routers: Routers) -> None:
    try:
        if not ours:
            log.warning("router_refused", error="it is another user's process")
            return
        async with asyncio.TaskGroup() as tasks:
            with routers.connected(channel, tasks):
                while (body := await channel.receive()) is not None:
                    request = decoder.decode(body)
                    descriptor = channel.take_descriptor() if request.type == "connect" else None
                    tasks.create_task(_answer(channel, request, descriptor, host))
    except* (FrameTooLarge, msgspec.MsgspecError) as errors:
        log.warning("router_refused", error=str(errors.exceptions[0]))
    finally:
        channel.close()


async def _answer(channel: Channel, request: Request, descriptor: int | None, host: Host) -> None:
    answer: dict[str, Any]
    try:
        answer = {"type": "done", "id": request.id, **await _do(request, descriptor, host)}
    except ReplicaFailed as error:
        answer = {"type": "refused", "id": request.id, "reason": error.reason, "message": error.message}
    finally:
        if descriptor is not None:
            os.close(descriptor)
    await _send(channel, msgspec.json.encode(answer))


async def _do(request: Request, descriptor: int | None, host: Host) -> dict[str, Any]:
    if request.type == "start" and request.spec is not None:
        return {"replicas": [await host.start(request.replica_id, request.spec.to_spec())]}
    if request.type == "connect" and descriptor is not None:
        await host.connect(request.replica_id, descriptor)
    elif request.type == "stop":
        await host.stop(request.replica_id, request.grace_seconds)
    elif request.type == "kill":
        await host.kill(request.replica_id, request.message)
    elif request.type == "list":
        return {"replicas": host.list()}
    elif request.type == "usage":
        return {"usage": host.usage()}
    return {}


async def _send(channel: Channel, body: bytes) -> None:
    try:
        await channel.send(body)
    except ConnectionError:
        return  # the router has disconnected; its task ends


def _is_ours(sock: socket.socket) -> bool:
    _, user, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return bool(user in (0, os.geteuid()))
