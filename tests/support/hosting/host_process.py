"""A host process for one test, and the documents that its replicas load."""

import asyncio
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from flowpin_cli.runtimes.folder import LOCK, MANIFEST, Runtime, digest_of
from run_service.hosting.client import HostClient, HostGone, ReplicaSpec, RunEnded, RunEvent, RunRequest, open_host
from run_service.hosting.ledger import Ledger
from tests.support.paths import ROOT

HERE = Path(__file__).parent
START_SECONDS = 20


class HostProcess:
    """Its folder is one that every user may enter: as root, replicas run as other users."""

    def __init__(self, **settings: float | Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="flowpin-host-"))
        self.folder.chmod(0o711)
        (self.folder / "socket").mkdir(mode=0o700)
        self.socket = self.folder / "socket" / "host"
        self.output = self.folder / "output"
        self._settings = settings
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, folder: Path | None = None) -> None:
        words = [f"{name}={value}" for name, value in self._settings.items()]
        program = "tests.support.hosting.host_program"
        command = [sys.executable, "-m", program, self.socket, folder or self.folder / "host", *words]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)

    @asynccontextmanager
    async def client(self, grace_seconds: float = 0.5) -> AsyncIterator[HostClient]:
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    async with open_host(self.socket, grace_seconds):
                        break
                except HostGone:
                    assert self.process.poll() is None, self.output.read_text()
                    await asyncio.sleep(0.02)
        async with open_host(self.socket, grace_seconds) as host:
            yield host

    def written_down(self) -> list[int]:
        """The processes that it reports as started."""
        return [
            entry["pid"] for entry in json.loads((self.folder / "host" / "processes.json").read_text())["processes"]
        ]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def end(self) -> None:
        """Ask it to end. A host that the test ended itself is accepted."""
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(40) == 0, self.output.read_text()
        finally:
            self.process.kill()
            self.process.wait(10)
            Ledger(self.folder / "host" / "processes.json").end_leftovers()
            shutil.rmtree(self.folder, ignore_errors=True)


def standin_runtime(folder: Path, name: str = "standin") -> Path:
    """A runtime without the SDK. tests/support/hosting/standin_engine.py describes its flows.

    Its flows find `name` in `sys._xoptions`.
    """
    python = folder / "runtime" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -X name={name} {HERE / "standin_python.py"} "$@"\n')
    python.chmod(0o755)
    return python.parents[1]


def standin_runtimes(folder: Path) -> Path:
    """A folder of runtimes for `flowpin up` with only the stand-in."""
    runtime = standin_runtime(folder).rename(folder / "0.69")
    lock = "standin==1\n"
    manifest = Runtime("0.69", "0.69.0", "3.11", 1, digest_of(lock), "2026-11-30T00:00:00Z")
    (runtime / MANIFEST).write_text(json.dumps(asdict(manifest)))
    (runtime / LOCK).write_text(lock)
    return folder


def spec_of(runtime: Path, flow: object, **fields: object) -> ReplicaSpec:
    document = json.dumps(flow).encode()
    digest = hashlib.sha256(document).hexdigest()
    values = {"deployment_id": str(uuid4()), "project_id": "p", "digest": digest, **fields}
    return ReplicaSpec(runtime=runtime, flow=document, **values)


def request_of(value: object, **fields: object) -> RunRequest:
    return RunRequest(run_id=uuid4().hex, input=json.dumps(value).encode(), **fields)


async def events_of(connection, value: object, **fields: object) -> list[RunEvent]:
    async with aclosing(connection.run(request_of(value, **fields))) as events:
        return [event async for event in events]


async def ended(connection, value: object, **fields: object) -> RunEnded:
    return (await events_of(connection, value, **fields))[-1]


async def answer(connection, value: object, **fields: object) -> object:
    """The output of a run that completes."""
    end = await ended(connection, value, **fields)
    assert end.status == "completed", end
    return json.loads(end.output)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state not in "ZX"
