"""`flowpin up`, started as a person starts it and observed from outside."""

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from flowpin_cli.machine.data_folder import DataFolder
from flowpin_cli.postgres.alone import embedded_url
from flowpin_cli.rest.trust import CA_VARIABLE, context_of
from flowpin_cli.runtimes.folder import FOLDER_VARIABLE
from tests.load.bench import processes
from tests.load.bench.result import Unmeasurable
from tests.support.paths import ROOT
from tests.support.ports import free_port

START_SECONDS = 60.0
STOP_SECONDS = 40.0
SERVICES = {"gateway": "gateway", "workflow": "workflow_service", "deploy": "deploy_service"}
"""The modules started with `python -m`, by their names in the table."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A healthy `flowpin up`."""

    data: Path
    env: dict[str, str]
    metrics_ports: dict[str, int]
    pids: dict[str, int]
    """Process ids of gateway, workflow, deploy and postgres."""
    up_pid: int
    """Process id of `flowpin up` itself."""
    start_seconds: float

    @property
    def url(self) -> str:
        return self.env["FLOWPIN_URL"]

    @property
    def context(self) -> ssl.SSLContext | None:
        """To check its certificate with, if it has one."""
        return context_of(self.env.get(CA_VARIABLE))

    @property
    def token(self) -> str:
        return self.env["FLOWPIN_TOKEN"]

    @property
    def project_id(self) -> str:
        return self.env["FLOWPIN_PROJECT_ID"]

    @property
    def workflow_grpc(self) -> str:
        return self.env["FLOWPIN_WORKFLOW_GRPC"]

    @property
    def deploy_grpc(self) -> str:
        return self.env["FLOWPIN_DEPLOY_GRPC"]

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    @property
    def admin_url(self) -> str:
        return self.role_url("postgres")

    def role_url(self, role: str, database: str = "flowpin") -> str:
        """URL of Postgres over its Unix socket."""
        url = embedded_url(DataFolder(self.data), role)
        assert url is not None, "Postgres does not run"
        return url.replace("@/flowpin?", f"@/{database}?")

    @property
    def python_pids(self) -> dict[str, int]:
        return {name: self.pids[name] for name in SERVICES}

    def find_processes(self) -> None:
        """Read the process ids again, after a restart of one."""
        self.pids.update(_pids(self.up_pid))

    def cpu_seconds(self) -> dict[str, float]:
        """CPU seconds by process. Postgres includes all its backends."""
        used = {name: processes.cpu_seconds(pid) for name, pid in self.pids.items()}
        used["postgres"] += sum(processes.cpu_seconds(pid) for pid in processes.children(self.pids["postgres"]))
        return used


@contextmanager
def running(data: Path, *options: str, workers: int = 1, **settings: str) -> Iterator[Stack]:
    """Run `flowpin up` on this folder until the block ends, then drain it. Raises Unmeasurable when it does not start.

    `options`: further options of `flowpin up`. `workers`: the number of processes of each service, and of gateways.
    """
    ports = {name: free_port() for name in SERVICES}
    listening = {f"{name.upper()}_METRICS_LISTEN": f"127.0.0.1:{port}" for name, port in ports.items()}
    no_runtimes = {FOLDER_VARIABLE: str(data / "no-runtimes")}  # only the rows of apps run flows
    words = [sys.executable, "-P", "-m", "flowpin_cli", "up", "--data", str(data), "--port", "0"]
    words += ["--workers", str(workers), *options]
    data.mkdir(parents=True, exist_ok=True)
    said = data / "up.log"
    before = said.stat().st_size if said.exists() else 0
    with said.open("ab") as output:
        began = time.monotonic()
        process = subprocess.Popen(
            words, cwd=ROOT, env={**os.environ, **no_runtimes, **listening, **settings}, stdout=output, stderr=output
        )
        try:
            while b"Flowpin is up" not in said.read_bytes()[before:]:
                if process.poll() is not None or time.monotonic() - began > START_SECONDS:
                    raise Unmeasurable(f"flowpin up did not start: {said.read_text()[-500:]}")
                time.sleep(0.01)
            took = time.monotonic() - began
            yield Stack(data.resolve(), DataFolder(data).env(), ports, _pids(process.pid), process.pid, took)
        finally:
            end(process)


@contextmanager
def second_workflow_service(stack: Stack, **settings: str) -> Iterator[Stack]:
    """The stack with another replica, with other settings, in place of its workflow service, until the block ends.

    The gateway and the deploy service still call the first one.
    """
    listen, metrics_port = f"127.0.0.1:{free_port()}", free_port()
    env = processes.environment(stack.pids["workflow"]) | settings
    env |= {"WORKFLOW_LISTEN": listen, "WORKFLOW_METRICS_LISTEN": f"127.0.0.1:{metrics_port}"}
    with (stack.data / "logs" / "second-workflow.log").open("ab") as output:
        words = [sys.executable, "-m", "workflow_service", "serve"]
        process = subprocess.Popen(words, cwd=ROOT, env=env, stdout=output, stderr=output)
        try:
            _until_listening(process, listen)
            yield replace(
                stack,
                env={**stack.env, "FLOWPIN_WORKFLOW_GRPC": listen},
                metrics_ports={**stack.metrics_ports, "workflow": metrics_port},
                pids={**stack.pids, "workflow": process.pid},
            )
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to drain, and kill it if it does not end."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_listening(process: subprocess.Popen[bytes], listen: str) -> None:
    host, _, port = listen.rpartition(":")
    deadline = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise Unmeasurable("a second workflow service did not start")
        time.sleep(0.05)


def _pids(up: int) -> dict[str, int]:
    found = {}
    for pid in processes.children(up):
        words = processes.words(pid)
        for name, module in SERVICES.items():
            if module in words:
                found[name] = pid
        if words and Path(words[0].split()[0].rstrip(":")).name == "postgres":
            found["postgres"] = pid
    return found
