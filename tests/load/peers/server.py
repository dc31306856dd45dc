"""A peer's server: started in its own session, waited for, and ended with all processes that it started."""

import http.client
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from flowpin_cli.machine.processes import Command, last_lines, start
from tests.load.bench import processes
from tests.load.bench.context import Drive
from tests.load.bench.result import Load, Unmeasurable

START_SECONDS = 180.0
STOP_SECONDS = 15.0
QUIET_SECONDS = 60.0
QUIET_SHARE = 0.1
"""Maximum share of a core that a started server uses without calls."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running peer. `pid` is also the id of its session."""

    name: str
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """CPU seconds of all its processes."""
        return sum(processes.cpu_seconds(pid) for pid in _session(self.pid))

    def metered(self, drive: Drive) -> Load:
        """Drive a load and add the peer's CPU per call, next to that of our processes."""
        before = self.cpu_seconds()
        load = drive()
        if not load.count:
            return load
        return replace(load, cpu_us={**load.cpu_us, self.name: 1e6 * (self.cpu_seconds() - before) / load.count})


@contextmanager
def running(
    name: str, words: Sequence[str | Path], env: Mapping[str, str], port: int, ready: str | None, scratch: Path
) -> Iterator[Server]:
    """Run the server until the block ends, after `ready`, a path, is answered. Raises Unmeasurable if it is not.

    With None, for servers without HTTP, it does not wait.
    """
    log, home = scratch / f"{name}.log", scratch / f"{name}-home"
    home.mkdir(exist_ok=True)
    base = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "LC_ALL": "C.UTF-8"}
    process = start(Command([str(word) for word in words], {**base, **env}, cwd=str(home)), log)
    server = Server(name, port, process.pid)
    try:
        if not _until(lambda: _has_ended(process.pid) or ready is None or _answers(port, ready), START_SECONDS):
            raise Unmeasurable(f"{name} does not answer {START_SECONDS:.0f} s after its start: {last_lines(log, 3)}")
        if _has_ended(process.pid):
            raise Unmeasurable(f"{name} ended while it started: {last_lines(log, 3)}")
        _until(lambda: _is_quiet(server), QUIET_SECONDS)  # workers may start one after the other
        yield server
    finally:
        _end(process.pid)
        process.wait()


def _end(pid: int) -> None:
    """Ask it to end, then kill it and all in its session. Its pid cannot be reused, as it is not reaped yet."""
    os.kill(pid, signal.SIGTERM)
    _until(lambda: _has_ended(pid), STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _is_quiet(server: Server) -> bool:
    before = server.cpu_seconds()
    time.sleep(1)
    return server.cpu_seconds() - before < QUIET_SHARE


def _session(leader: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError):
            if os.getsid(int(entry.name)) == leader:
                found.append(int(entry.name))
    return found


def _until(holds: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
