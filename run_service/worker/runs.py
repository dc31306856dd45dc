"""Runs of a replica: slots, cancellation, and the messages to a connection."""

import os
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from .frames import MAX_ANSWER_BYTES, Frames
from .outcome import Outcome

WAITING = 64
"""Maximum runs that wait for a slot. Routers count slots themselves, so only a faulty router reaches this."""
SEND_SECONDS = 30
"""Seconds that a router may read nothing."""
STUCK = 3
"""Exit status of a replica if a canceled run does not end."""


class Run:
    def __init__(self, run_id: str, frames: Frames, cancellation: Any) -> None:
        self.id = run_id
        self.frames = frames
        self.cancellation = cancellation
        self.over = threading.Event()
        self.future: Future[None] | None = None

    def send(self, kind: str, **members: Any) -> None:
        """Send a message, unless the router has ended."""
        try:
            self.frames.send({"type": kind, "run_id": self.id, **members})
        except OSError:
            self.frames.close()

    def end(self, outcome: Outcome) -> None:
        if self.over.is_set():
            return
        self.over.set()
        members = {"error": outcome.error, "node": outcome.node}
        try:
            self.send("ended", status=outcome.status, output=outcome.output, **members)
        except (ValueError, TypeError, RecursionError) as error:
            self.send("ended", status="failed", error=f"The output cannot be sent as JSON: {error}")


class Runs:
    """Runs one flow for any number of connections, at most `slots` times concurrently."""

    def __init__(self, engine: Any, flow: Any, slots: int, grace: float, stuck: Callable[[str], None]) -> None:
        self._engine, self._flow, self._grace, self._stuck = engine, flow, grace, stuck
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="run")
        self._lock = threading.Lock()
        self._under_way: set[Run] = set()
        self._most = slots + WAITING
        self._stopping = False

    def serve(self, descriptor: int) -> None:
        """Serve a router's connection in a new thread."""
        sock = socket.socket(fileno=descriptor)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@qq", SEND_SECONDS, 0))
        threading.Thread(target=self._serve, args=[Frames(sock, MAX_ANSWER_BYTES)], daemon=True).start()

    def stop(self) -> None:
        """End the process as soon as no run is in progress."""
        with self._lock:
            self._stopping = True
            if not self._under_way:
                os._exit(0)

    def _serve(self, frames: Frames) -> None:
        runs: dict[str, Run] = {}
        try:
            for message, _ in frames.messages():
                for run_id in [run_id for run_id, run in runs.items() if run.over.is_set()]:
                    del runs[run_id]
                if message["type"] == "run":
                    run = runs[message["run_id"]] = Run(message["run_id"], frames, self._engine.Cancellation())
                    self._begin(run, message)
                elif message["type"] == "cancel" and message["run_id"] in runs:
                    self._cancel(runs[message["run_id"]])
        finally:  # the router has ended, or its message did not fit into memory
            frames.close()
            for run in runs.values():
                self._cancel(run)

    def _begin(self, run: Run, message: dict[str, Any]) -> None:
        with self._lock:
            refused = self._stopping or len(self._under_way) >= self._most
            if not refused:
                self._under_way.add(run)
                run.future = self._pool.submit(self._run, run, message)
        if refused:
            run.end(Outcome("failed", error="The replica accepts no more runs."))

    def _run(self, run: Run, message: dict[str, Any]) -> None:
        try:
            run.send("started")

            def emit(name: str, data: Any) -> None:
                run.send("streamed", name=name, data=data)

            streams = emit if message.get("stream") else None
            run.end(self._engine.run(self._flow, message["input"], streams, run.cancellation))
        except BaseException as error:  # includes SystemExit, which a node may raise
            run.end(Outcome("failed", error=f"{type(error).__name__}: {error}"))
        finally:
            self._over(run)

    def _cancel(self, run: Run) -> None:
        run.cancellation.cancel()
        if run.future is not None and run.future.cancel():
            run.end(Outcome("canceled", error="The run was canceled."))
            self._over(run)
        elif not run.over.is_set():
            timer = threading.Timer(self._grace, self._check, [run])
            timer.daemon = True
            timer.start()

    def _check(self, run: Run) -> None:
        if not run.over.is_set():
            self._stuck("A run did not end when it was canceled.")
            os._exit(STUCK)

    def _over(self, run: Run) -> None:
        with self._lock:
            self._under_way.discard(run)
            if self._stopping and not self._under_way:
                os._exit(0)
