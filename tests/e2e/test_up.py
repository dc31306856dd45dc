"""`flowpin up` as a person meets it: it starts, stays, comes back and leaves nothing behind."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0


class Up:
    """A `flowpin up` on one data folder, which can be started, ended and started again."""

    def __init__(self, data: Path, *, python: str = sys.executable, user: int | None = None, **env: str) -> None:
        self.data = data
        self._python = python
        self._user = user
        self._env = os.environ | env
        self._seen = 0
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this object
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, port: int = 0) -> "Up":
        words = [self._python, str(ROOT / "flowpin.py"), "up", "--data", str(self.data), "--port", str(port)]
        self._seen = len(self._everything())
        ids = {} if self._user is None else {"user": self._user, "group": self._user, "extra_groups": []}
        self.process = subprocess.Popen(  # noqa: S603
            words, cwd=ROOT, env=self._env, stdout=self._output, stderr=subprocess.STDOUT, **ids
        )
        return self

    def ready(self) -> "Up":
        eventually(lambda: "Flowpin is up" in self.output or self.process.poll() is not None, PATIENCE)
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
        """What this start of it said."""
        return self._everything()[self._seen :]

    def _everything(self) -> str:
        return os.pread(self._output.fileno(), 1_000_000, 0).decode()

    @property
    def env(self) -> dict[str, str]:
        text = subprocess.check_output(["/bin/sh", "-c", f". '{self.data}/env' && env"], env={}, text=True)  # noqa: S603
        return dict(line.split("=", 1) for line in text.splitlines())

    def children(self) -> dict[str, int]:
        """Process ids by what was started: postgres, workflow_service, deploy_service, gateway."""
        return {_program(pid): pid for pid in _processes_below(self.process.pid, depth=1)}

    def family(self) -> set[int]:
        return {self.process.pid, *_processes_below(self.process.pid, depth=9)}


def _processes_below(parent: int, depth: int) -> set[int]:
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


def _program(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:  # gone meanwhile
        return ""
    return words[words.index("-m") + 1] if "-m" in words else Path(words[0]).name


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}/cmdline").exists() and _state(pid) != "Z"}


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def eventually(holds: Callable[[], bool], seconds: float) -> float:
    """Wait until it holds and return how long that took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - began


def call(env: dict[str, str], method: str, path: str, body: object = None) -> dict:
    headers = {"Authorization": f"Bearer {env['FLOWPIN_TOKEN']}"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(env["FLOWPIN_URL"] + path, data, headers, method=method)  # noqa: S310 - ours
    with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310
        return json.load(response)


def workflow_names(env: dict[str, str]) -> list[str]:
    rows = call(env, "GET", f"/v1/workflows?project_id={env['FLOWPIN_PROJECT_ID']}")["data"]
    return [row["name"] for row in rows]


def answers(env: dict[str, str]) -> bool:
    """Whether calls through the gateway and each of the services to the database are answered."""
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


@pytest.fixture(scope="module")
def first_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    up = Up(tmp_path_factory.mktemp("up") / "data").start()
    yield up
    up.end()


@pytest.fixture
def up(first_up: Up) -> Up:
    """A run that is up; its data is shared by the tests of this file."""
    if first_up.process.poll() is not None:
        first_up.start()
    return first_up.ready()


def test_what_is_printed_can_be_pasted(up):
    curl = re.search(r"^  (curl .*)$", up.output, re.MULTILINE)[1]

    answer = subprocess.run(["/bin/sh", "-c", curl], capture_output=True, check=True).stdout  # noqa: S603

    assert json.loads(answer)["pagination"]["page"] == 1
    assert all(up.env[name] in up.output for name in ("FLOWPIN_URL", "FLOWPIN_TOKEN", "FLOWPIN_PROJECT_ID"))


def test_what_is_private_is_readable_by_its_owner_only(up):
    private = [
        up.data,
        up.data / "env",
        up.data / "access.yaml",
        up.data / "deploy-service.token",
        up.data / "postgres",
    ]
    private += (up.data / "logs").iterdir()

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in private}

    assert modes == dict.fromkeys(modes, 0)


def test_the_env_file_names_the_run(up):
    assert up.env["FLOWPIN_PID"] == str(up.process.pid)


def test_a_second_up_on_the_same_data_says_so_and_stops(up):
    second = Up(up.data).start()

    assert second.ended() == 1
    assert f"flowpin is already up on {up.data} (pid {up.process.pid})" in second.output
    assert answers(up.env)


def test_a_taken_port_is_an_error_before_anything_is_started(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = Up(tmp_path / "data").start(port)

        assert up.ended() == 1

    assert f"port {port} is taken" in up.output
    assert "Traceback" not in up.output
    assert not (tmp_path / "data/postgres").exists()


@pytest.mark.parametrize("program", ["postgres", "workflow_service", "deploy_service", "gateway"])
def test_a_killed_child_is_back_within_two_seconds(up, program):
    killed = up.children()[program]

    os.kill(killed, signal.SIGKILL)

    eventually(lambda: not alive({killed}), 1)
    assert eventually(lambda: program in up.children() and answers(up.env), 5) < 2
    assert up.children()[program] != killed


def test_children_do_not_outlive_up(up):
    family = up.family()

    up.process.kill()

    eventually(lambda: not alive(family), 15)


def test_an_orphan_that_hangs_is_ended_by_the_next_up(up):
    orphan = up.children()["gateway"]
    os.kill(orphan, signal.SIGSTOP)
    up.process.kill()
    up.ended()

    up.start().ready()

    assert not alive({orphan})
    assert answers(up.env)


def test_after_kill_9_of_everything_the_next_up_finds_data_and_token(up):
    before, name, family = up.env, make_workflow(up.env), up.family()

    for pid in family:
        with suppress(ProcessLookupError):  # the death of one ends others
            os.kill(pid, signal.SIGKILL)
    up.ended()
    up.start().ready()

    assert up.env | {"FLOWPIN_PID": ""} == before | {"FLOWPIN_PID": ""}
    assert name in workflow_names(before)


def test_a_second_signal_does_not_wait_for_a_child_that_hangs(up):
    family = up.family()
    os.kill(up.children()["gateway"], signal.SIGSTOP)

    up.process.terminate()
    eventually(lambda: "Stopping" in up.output, 2)
    up.process.terminate()

    assert up.ended() == 0
    assert not alive(family)


def test_a_child_that_crashes_five_times_ends_the_run_with_its_last_lines(tmp_path):
    up = Up(tmp_path / "data", GATEWAY_LOG_LEVEL="whisper").start()
    eventually(lambda: "gateway ended" in up.output, PATIENCE)
    family = up.family()

    assert up.ended() == 1

    assert "gateway ended with exit code 1, the 5th time in 30 seconds" in up.output
    assert "whisper" in up.output
    assert not alive(family)


@pytest.mark.parametrize("name", ["plain", "x" * 120])
def test_sigterm_leaves_nothing_running(tmp_path, name):
    up = Up(tmp_path / name).start().ready()
    family = up.family()

    up.process.terminate()

    assert up.ended() == 0
    assert not alive(family)
    assert not Path((up.data / "socket").read_text().strip()).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests already run as an ordinary user")
def test_an_ordinary_user_can_run_it():
    with tempfile.TemporaryDirectory() as folder:
        shutil.chown(folder, 65534, 65534)
        packages, tools = os.pathsep.join(sys.path), sysconfig.get_path("scripts")
        env = {"PYTHONPATH": packages, "PATH": f"{tools}:{os.environ['PATH']}"}
        up = Up(Path(folder) / "data", python=python_for_others(), user=65534, **env)

        up.start().ready()

        family = up.family()
        assert answers(up.env)
        assert {Path(f"/proc/{pid}").stat().st_uid for pid in family} == {65534}
        up.process.terminate()
        assert up.ended() == 0
        assert not alive(family)


def python_for_others() -> str:
    """This Python, or one of the same version, where an ordinary user can run it."""
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        words = [python, "-c", f"import sys; sys.path[:0] = {sys.path!r}; import grpc, flowpin"]
        try:
            if subprocess.run(words, cwd=ROOT, user=65534, group=65534, extra_groups=[]).returncode == 0:  # noqa: S603
                return python
        except OSError:
            continue
    pytest.skip("no Python that another user can run: it is installed below a closed folder")
