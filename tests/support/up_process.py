"""A `flowpin up` under test, started as a person starts it and observed from outside."""

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.paths import ROOT
from tests.support.waiting import wait_until

PATIENCE = 30.0


class Up:
    """A `flowpin up` on one data folder, which can be started, ended and started again."""

    def __init__(
        self, data: Path, *, python: str = sys.executable, user: int | None = None, cwd: Path = ROOT, **env: str
    ) -> None:
        self.data = data
        self._python = python
        self._user = user
        self._cwd = cwd
        self._env = os.environ | env
        self._seen = 0
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this object
        self.process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        port: int = 0,
        database_url: str | None = None,
        workers: int = 1,
        host: str | None = None,
        *,
        console: bool = True,
        tls: bool = False,
    ) -> "Up":
        words = [self._python, "-P", "-m", "flowpin_cli", "up", "--data", str(self.data), "--port", str(port)]
        words += ["--workers", str(workers)]
        words += ["--database-url", database_url] if database_url else []
        words += ["--host", host] if host else []
        words += [] if console else ["--no-console"]
        words += ["--tls"] if tls else []
        self._seen = len(self._everything())
        ids = {} if self._user is None else {"user": self._user, "group": self._user, "extra_groups": []}
        self.process = subprocess.Popen(
            words, cwd=self._cwd, env=self._env, stdout=self._output, stderr=subprocess.STDOUT, **ids
        )
        return self

    def ready(self) -> "Up":
        wait_until(lambda: "Flowpin is up" in self.output or self.process.poll() is not None, PATIENCE)
        assert self.process.poll() is None, self.output
        return self

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)

    def ended(self) -> int:
        return self.process.wait(PATIENCE)

    @property
    def output(self) -> str:
        """The output of the current start."""
        return self._everything()[self._seen :]

    def _everything(self) -> str:
        return os.pread(self._output.fileno(), 1_000_000, 0).decode()

    @property
    def env(self) -> dict[str, str]:
        text = subprocess.check_output(["/bin/sh", "-c", f". '{self.data}/env' && env"], env={}, text=True)
        return dict(line.split("=", 1) for line in text.splitlines())

    def children(self) -> dict[str, int]:
        """Process ids by program: postgres, workflow_service, deploy_service, gateway."""
        return {_program(pid): pid for pid in processes_below(self.process.pid, depth=1)}

    def workers(self, program: str) -> set[int]:
        """The process ids of all workers of this program, named as in `children`."""
        return {pid for pid in processes_below(self.process.pid, depth=1) if _program(pid) == program}

    def family(self) -> set[int]:
        return {self.process.pid, *processes_below(self.process.pid, depth=9)}


def processes_below(parent: int, depth: int) -> set[int]:
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    below, level = set(), {parent}
    for _ in range(depth):
        level = {pid for pid, its_parent in parents.items() if its_parent in level}
        below |= level
    return below


def command_line(pid: int) -> list[str]:
    """The words of a process's command line. Empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return [""]


def _program(pid: int) -> str:
    words = command_line(pid)
    return words[words.index("-m") + 1] if "-m" in words else Path(words[0]).name


def machine_is_quiet() -> bool:
    return os.getloadavg()[0] < len(os.sched_getaffinity(0))


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}/cmdline").exists() and _state(pid) != "Z"}


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def call(env: dict[str, str], method: str, path: str, body: object = None, seconds: float = 5) -> dict:
    headers = {"Authorization": f"Bearer {env['FLOWPIN_TOKEN']}"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(env["FLOWPIN_URL"] + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=seconds) as response:
        return json.load(response)


def flowpin(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "flowpin_cli", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def workflow_names(env: dict[str, str]) -> list[str]:
    rows = call(env, "GET", f"/v1/workflows?project_id={env['FLOWPIN_PROJECT_ID']}")["data"]
    return [row["name"] for row in rows]


def answers(env: dict[str, str]) -> bool:
    """Whether calls through the gateway and each service to the database are answered."""
    try:
        workflow_names(env)
        call(env, "GET", "/v1/runtimes")
    except OSError:
        return False
    return True


def make_workflow(env: dict[str, str]) -> str:
    name = f"w-{uuid4().hex}"
    flow = {"nodes": [{"id": "input", "name": "input", "type": "dynamiq.nodes.utils.Input"}]}
    body = {"name": name, "project_id": env["FLOWPIN_PROJECT_ID"], "flow": flow, "flow_ui": {}}
    call(env, "POST", "/v1/workflows", body)
    return name


def python_for_others() -> str:
    """This Python, or one of the same version that an ordinary user can run."""
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        words = [python, "-c", f"import sys; sys.path[:0] = {sys.path!r}; import grpc, flowpin"]
        try:
            if subprocess.run(words, cwd=ROOT, user=65534, group=65534, extra_groups=[]).returncode == 0:
                return python
        except OSError:
            continue
    pytest.skip("no Python that another user can run: it is installed below a closed folder")
