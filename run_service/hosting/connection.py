"""A router's connection to a replica: starts runs, enforces deadlines, and ends runs that hang."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Raw

from run_service.hosting.channel import Channel
from run_service.hosting.model import (
    ReplicaGone,
    RunEnded,
    RunEvent,
    RunRequest,
    RunStarted,
    RunStreamed,
    Status,
)
from run_service.worker.frames import FrameTooLarge

GRACE_SECONDS = 2.0
"""How long a canceled run may take to end. Then its replica is killed."""
CANCEL_SECONDS = 10.0
"""How long a replica may take to read earlier messages before it reads that a run is canceled."""
KILL_SECONDS = 5.0
"""How long a killed replica may take to end."""
MAX_WAITING_EVENTS = 10_000
MAX_WAITING_BYTES = 8 << 20
"""Maximum streamed bytes of a run that its caller has not read. A run with more is canceled."""


class Message(msgspec.Struct):
    """A message from a replica."""

    type: str
    run_id: str
    name: str = ""
    data: Raw = Raw(b"null")
    status: str = "failed"
    output: Raw = Raw(b"null")
    error: str | None = None
    node: str | None = None


_decoder = msgspec.json.Decoder(Message)
_encoder = msgspec.json.Encoder()


class _Run:
    def __init__(self) -> None:
        self.events: asyncio.Queue[RunEvent] = asyncio.Queue()
        self.over = asyncio.Event()
        self.canceling: asyncio.Task[None] | None = None
        self.waiting_bytes = 0
        self.timed_out = False
        self.too_slow = False

    def end(self, ended: RunEnded) -> None:
        if self.over.is_set():
            return
        self.over.set()
        if ended.status != "completed" and self.too_slow:
            ended = RunEnded("failed", error="The caller takes the run's events too slowly.")
        elif ended.status != "completed" and self.timed_out:
            ended = RunEnded("timed_out", error="The run did not end within its deadline.")
        elif ended.status != "completed" and self.canceling is not None:
            ended = RunEnded("canceled", error="The run was canceled.")
        self.events.put_nowait(ended)


class Connection:
    """Concurrent runs on one replica. Created by `HostClient.connect`."""

    def __init__(
        self,
        channel: Channel,
        kill: Callable[[str], Awaitable[None]],
        why_gone: Callable[[], Awaitable[str]],
        grace_seconds: float,
    ) -> None:
        self._channel = channel
        self._kill = kill
        self._why_gone = why_gone
        self._grace_seconds = grace_seconds
        self._runs: dict[str, _Run] = {}
        self._gone: str | None = None

    async def run(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        """The events of a new run. The last is RunEnded, which comes at most some seconds after the deadline.

        A caller that leaves early (with `contextlib.aclosing`, or by being canceled) cancels the run. It then waits
        until the run has ended or its replica is killed, usually for GRACE_SECONDS. Raises ReplicaGone if the run was
        not sent.
        """
        if self._gone is not None:
            raise ReplicaGone(self._gone)
        run = self._runs[request.run_id] = _Run()
        message = {"type": "run", "run_id": request.run_id, "input": Raw(request.input), "stream": request.stream}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + request.deadline_seconds
        try:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._send(message)
            except ConnectionError as error:
                run.over.set()
                raise ReplicaGone("The replica's connection ended.") from error
            except TimeoutError:
                pass  # the next wait times out at the same deadline
            while True:
                try:
                    async with asyncio.timeout_at(deadline):
                        event = await run.events.get()
                except TimeoutError:
                    if run.timed_out:  # the replica was killed, but the kernel does not end its process
                        run.over.set()
                        yield RunEnded("timed_out", error="The run did not end, and neither did its replica.")
                        return
                    run.timed_out = True
                    deadline = loop.time() + CANCEL_SECONDS + self._grace_seconds + KILL_SECONDS
                    self._cancel(request.run_id, run)
                    continue
                if isinstance(event, RunStreamed):
                    run.waiting_bytes -= len(event.data)
                yield event
                if isinstance(event, RunEnded):
                    return
        finally:
            if run.over.is_set():
                self._runs.pop(request.run_id, None)
            else:
                await asyncio.shield(self._cancel(request.run_id, run))

    async def cancel(self, run_id: str) -> None:
        """Cancel a run of this connection. Returns when the run has ended. Does nothing if it has already ended."""
        if (run := self._runs.get(run_id)) is not None and not run.over.is_set():
            await asyncio.shield(self._cancel(run_id, run))

    def _cancel(self, run_id: str, run: _Run) -> "asyncio.Task[None]":
        if run.canceling is None:
            run.canceling = asyncio.create_task(self._end(run_id, run))
        return run.canceling

    async def _end(self, run_id: str, run: _Run) -> None:
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                await self._send({"type": "cancel", "run_id": run_id})
            async with asyncio.timeout(self._grace_seconds):
                await run.over.wait()
        except (TimeoutError, ConnectionError):
            if not run.over.is_set():
                await self._kill("A run did not end when it was canceled, so its replica was killed.")

    async def receive(self) -> None:
        """Pass the replica's messages to their runs until the connection ends. Then all runs end as failed."""
        try:
            while (body := await self._channel.receive()) is not None:
                message = _decoder.decode(body)
                if (run := self._runs.get(message.run_id)) is not None:
                    self._hand_out(message, run)
        except (FrameTooLarge, msgspec.MsgspecError):  # the process at the other end is no longer the worker
            await self._kill("The replica sent an invalid message.")
        finally:
            self._gone = self._gone or "The replica's connection ended."
        if any(not run.over.is_set() for run in self._runs.values()):
            self._gone = await self._why_gone()
        self.lose(self._gone)

    def lose(self, why: str) -> None:
        """End all runs as failed, and accept no new ones."""
        self._gone = why
        for run in self._runs.values():
            run.end(RunEnded("failed", error=why, is_replica_lost=True))
        self._runs.clear()

    def _hand_out(self, message: Message, run: _Run) -> None:
        if message.type == "ended":
            status: Status = "completed" if message.status == "completed" else "failed"
            if message.status == "canceled":
                status = "canceled"
            output = bytes(message.output) if status == "completed" else None
            del self._runs[message.run_id]
            run.end(RunEnded(status, output, message.error, message.node))
        elif run.events.qsize() >= MAX_WAITING_EVENTS or run.waiting_bytes >= MAX_WAITING_BYTES:
            run.too_slow = True
            self._cancel(message.run_id, run)
        elif message.type == "started":
            run.events.put_nowait(RunStarted())
        elif message.type == "streamed":
            run.waiting_bytes += len(message.data)
            run.events.put_nowait(RunStreamed(message.name, bytes(message.data)))

    async def _send(self, message: dict[str, Any]) -> None:
        await self._channel.send(_encoder.encode(message))
