"""Makes calls and writes each, with its answer, to the history file."""

import time
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import msgspec

from flowpin_cli.verify.load.app_checks import FaultMade
from flowpin_cli.verify.load.calls import Call, Reply, Request


class Face(Protocol):
    """A way to call the installation: REST or gRPC."""

    name: str

    async def send(self, request: Request) -> Reply:
        """Make a call. Never raises errors of the installation. Without an answer before the deadline, the outcome is
        unknown."""


class Recorder:
    """The calls of one run, in memory and as JSON lines in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls: list[Call] = []
        self.faults: list[FaultMade] = []
        self._began = time.monotonic()
        self._file = path.open("wb")

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    async def call(self, face: Face, request: Request, caller: str) -> Call:
        begin = self.now
        reply = await face.send(request)
        call = Call(
            caller=caller,
            operation=request.operation,
            kind=request.kind,
            face=face.name,
            target=request.target,
            begin=begin,
            end=self.now,
            outcome=reply.outcome,
            code=reply.code,
            sent=request.sent,
            got=reply.got,
            key=request.key,
        )
        self.calls.append(call)
        self.write(call.line())
        return call

    def note_fault(self, name: str, what: str, begin: float) -> None:
        """Record a fault that lasted from `begin` until now."""
        made = FaultMade(name, what, begin, self.now)
        self.faults.append(made)
        self.write({"fault": name, "what": what, "begin": begin, "end": made.end})

    def write(self, line: dict[str, Any]) -> None:
        self._file.write(msgspec.json.encode(line) + b"\n")
