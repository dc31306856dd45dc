"""Controls a replica from the host: forks it, loads its flow, ends it, and cleans up."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from run_service.hosting import processes
from run_service.hosting.channel import Channel
from run_service.hosting.ledger import Ledger
from run_service.hosting.model import Replica, ReplicaEnded, ReplicaFailed, ReplicaSpec, ReplicaUsage
from run_service.hosting.settings import HostSettings
from run_service.hosting.zygote import decoder
from run_service.hosting.zygotes import Runtime
from run_service.worker.frames import FrameTooLarge

log = structlog.get_logger()

FORK_ATTEMPTS = 3
TICKS = os.sysconf("SC_CLK_TCK")
END_SECONDS = 5.0
"""How long the kernel may take to end a killed process."""
Register = Callable[["HostedReplica"], None]
"""Called as soon as the process id is known."""
WHY_ENDED = {
    "STOPPED": "The replica was stopped.",
    "EXITED": "The flow ended its own process.",
    "KILLED": "The replica was killed by a signal, for example because memory ran out.",
}


class HostedReplica:
    def __init__(self, replica_id: str, spec: ReplicaSpec, folder: Path, user: int | None, ledger: Ledger) -> None:
        self.id = replica_id
        self.pid = 0
        self.baseline_bytes = 0
        """Anonymous memory when the replica was ready."""
        self.folder = folder
        self.exited = asyncio.Event()
        self.gone = asyncio.Event()
        """Set when the replica has exited and is cleaned up."""
        self._spec, self._user, self._ledger = spec, user, ledger
        self._why: tuple[str, str] | None = None
        self._channel: Channel | None = None

    @property
    def replica(self) -> Replica:
        spec = self._spec
        return Replica(
            id=self.id,
            deployment_id=spec.deployment_id,
            project_id=spec.project_id,
            digest=spec.digest,
            pid=self.pid,
            slots=spec.slots,
            labels=spec.labels,
        )

    @property
    def runtime(self) -> Path:
        """The runtime's folder."""
        return self._spec.runtime

    @property
    def usage(self) -> ReplicaUsage:
        found = processes.stat(self.pid)
        return ReplicaUsage(
            grown_bytes=max(0, (processes.private_bytes(self.pid) or 0) - self.baseline_bytes),
            cpu_seconds=found.cpu_ticks / TICKS if found is not None else 0.0,
        )

    async def start(self, runtime: Runtime, settings: HostSettings, register: Register) -> None:
        """Returns when the flow is loaded. Raises ReplicaFailed; the caller then calls `end`."""
        self._make_folder()
        self._channel = await self._fork(runtime, register, settings.fork_seconds)
        if self._why is not None:
            raise ReplicaFailed("START_CANCELED", self._why[1])
        message = {
            "type": "load",
            "flow": self._spec.flow.decode(),
            "variables": dict(self._spec.variables),
            "slots": self._spec.slots,
            "folder": str(self.folder),
            "user": self._user,
            "limits": settings.limits,
            "grace_seconds": settings.stuck_seconds,
        }
        try:
            async with asyncio.timeout(settings.load_seconds):
                await self._channel.send(msgspec.json.encode(message))
                body = await self._channel.receive()
        except TimeoutError:
            why = f"The flow did not load within {settings.load_seconds:g} s."
            raise ReplicaFailed("START_TIMED_OUT", why) from None
        except ConnectionError:
            body = None
        if self._why is not None:
            raise ReplicaFailed("START_CANCELED", self._why[1])
        if body is None:
            raise ReplicaFailed("RUNTIME_BROKEN", "The replica's process ended while it loaded the flow.")
        said = decoder.decode(body)
        if said.type == "failed":
            raise ReplicaFailed(said.reason, said.message)
        if said.digest != self._spec.digest:
            raise ReplicaFailed(
                "DIGEST_DIFFERS", "The replica loaded a document of another digest than the one pinned."
            )
        self.baseline_bytes = processes.private_bytes(self.pid) or 0
        processes.lower_priority(self.pid)

    async def listen(self) -> None:
        """Receive the messages of the replica until it has ended."""
        assert self._channel is not None  # noqa: S101 - it has started
        try:
            while (body := await self._channel.receive()) is not None:
                said = decoder.decode(body)
                if said.type == "stuck" and self._why is None:
                    self._why = ("RUN_STUCK", said.message)
        except (FrameTooLarge, msgspec.MsgspecError):
            pass  # another program than the worker writes to the socket
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self.exited.wait()
        if not self.exited.is_set():  # it closed its socket, so no message can reach it
            await self.kill("EXITED", WHY_ENDED["EXITED"])
        self._channel.close()

    async def connect(self, descriptor: int) -> None:
        """Raises ConnectionError."""
        if self._channel is None or self.exited.is_set():
            raise ConnectionError("the replica is gone")
        await self._channel.send(b'{"type":"connection"}', [descriptor])

    async def stop(self, grace_seconds: float) -> None:
        """Returns when the replica has ended."""
        self._why = self._why or ("STOPPED", WHY_ENDED["STOPPED"])
        if self._channel is not None and grace_seconds > 0:
            with contextlib.suppress(ConnectionError, TimeoutError):
                await self._channel.send(b'{"type":"stop"}')
                async with asyncio.timeout(grace_seconds):
                    await self.exited.wait()
        await self.kill("STOPPED", WHY_ENDED["STOPPED"])

    async def kill(self, reason: str, message: str) -> None:
        self._why = self._why or (reason, message)
        if not self.pid:
            return  # `start` reports it
        if not self.exited.is_set():
            os.kill(self.pid, signal.SIGKILL)  # the child is not reaped yet, so the id is still its own
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self.gone.wait()

    async def clean_up(self, status: int) -> ReplicaEnded:
        """After its exit with `status` (from waitpid), end its session and remove its folder."""
        if self._why is None:
            reason = "KILLED" if os.WIFSIGNALED(status) else "EXITED"
            self._why = (reason, WHY_ENDED[reason])
        while left := await asyncio.to_thread(processes.kill_session, self.pid, self._ledger.started(self.pid)):
            log.error("processes_not_ended", replica=self.id, processes=left)
        self._ledger.remove(self.pid)
        await self.remove_folder()
        self.gone.set()
        return ReplicaEnded(replica=self.replica, reason=self._why[0], message=self._why[1])

    async def remove_folder(self) -> None:
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    def close(self) -> None:
        """Close the socket; the host no longer listens to it."""
        if self._channel is not None:
            self._channel.close()

    def _make_folder(self) -> None:
        self.folder.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(self.folder, self._user, self._user)

    async def _fork(self, runtime: Runtime, register: Register, seconds: float) -> Channel:
        for _ in range(FORK_ATTEMPTS):
            ours, theirs = socket.socketpair()
            channel = Channel(ours)
            try:
                async with runtime.forking:
                    with theirs:
                        zygote = await runtime.fork(theirs.fileno())
                    async with asyncio.timeout(seconds):
                        body = await channel.receive()
            except TimeoutError:
                runtime.discard(zygote)
                body = None
            except BaseException:
                channel.close()
                raise
            if body is not None:
                self.pid = decoder.decode(body).pid
                self._ledger.add(self.pid)
                register(self)
                return channel
            channel.close()
        raise ReplicaFailed("RUNTIME_BROKEN", "The runtime's process does not fork a replica.")
