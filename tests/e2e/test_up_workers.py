"""With `flowpin up --workers 2` calls are spread, and a killed worker fails no call and restarts quickly."""

import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from service_kit.channel import open_channel
from service_kit.pb.flowpin.identity.v1 import identity_pb2
from service_kit.pb.flowpin.identity.v1.identity_pb2_grpc import IdentityServiceStub
from tests.support.ports import free_port
from tests.support.up_process import Up, alive, answers, call, flowpin, machine_is_quiet
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

PROGRAMS = ("gateway", "workflow_service", "deploy_service")
LOGS = ("gateway", "gateway-2", "workflow", "workflow-2", "deploy", "deploy-2")
METRICS_PORT = free_port()
BACK_SECONDS = 2.0 if machine_is_quiet() else 15.0
"""A start takes a second of CPU, and waits for a core on a busy machine."""


@pytest.fixture(scope="module")
def first_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    metrics = f"127.0.0.1:{METRICS_PORT}"
    up = Up(tmp_path_factory.mktemp("workers") / "data", WORKFLOW_METRICS_LISTEN=metrics).start(workers=2)
    yield up
    up.end()


@pytest.fixture
def up(first_up: Up) -> Up:
    return first_up.ready()


def events(up: Up, name: str) -> list[str]:
    """The events that a process has logged so far."""
    log = up.data / "logs" / f"{name}.log"
    lines = log.read_text().splitlines() if log.exists() else []  # its writer may not have started
    return [json.loads(line)["event"] for line in lines if line.startswith("{") and line.endswith("}")]


def calls_by_process(up: Up) -> dict[str, int]:
    """How many requests and RPCs each process has answered."""
    return {name: sum(event in ("request_handled", "rpc_handled") for event in events(up, name)) for name in LOGS}


def calls_since(up: Up, before: dict[str, int]) -> dict[str, int]:
    return {name: count - before[name] for name, count in calls_by_process(up).items()}


def test_up_starts_two_of_each_service(up: Up):
    assert {program: len(up.workers(program)) for program in PROGRAMS} == dict.fromkeys(PROGRAMS, 2)


def test_calls_are_spread_over_all_workers(up: Up):
    before = calls_by_process(up)

    for _ in range(40):  # each on a connection of its own
        call(up.env, "GET", "/v1/me")
        call(up.env, "GET", "/v1/runtimes")

    wait_until(lambda: min(calls_since(up, before).values()) >= 10, 5)  # other processes write the logs


async def test_the_env_file_names_all_workers_for_any_grpc_library(up: Up):
    target = up.env["FLOWPIN_WORKFLOW_GRPC"]
    metadata = (("authorization", f"Bearer {up.env['FLOWPIN_TOKEN']}"),)
    before = calls_by_process(up)

    async with open_channel(target) as ours, grpc.aio.insecure_channel(target) as plain:
        for channel in [ours] * 20 + [plain]:
            await IdentityServiceStub(channel).GetMe(identity_pb2.GetMeRequest(), metadata=metadata, timeout=5)

    wait_until(lambda: min(calls_since(up, before)[name] for name in ("workflow", "workflow-2")) >= 5, 5)


def test_doctor_and_metrics_show_each_worker(up: Up):
    found = json.loads(flowpin("doctor", "--json", "--data", str(up.data)).stdout)
    ports = json.loads((up.data / "ports.json").read_text())
    scraped = [
        urllib.request.urlopen(f"http://127.0.0.1:{METRICS_PORT + step}/metrics", timeout=5).status for step in (0, 10)
    ]

    ready = {row["what"] for row in found if row["section"] == "Processes" and row["state"] == "ok"}
    for service in ("workflow", "deploy"):
        first, second = ports[service]
        assert f"The {service} service is ready, on port {first}" in ready
        assert f"The {service} service 2 is ready, on port {second}" in ready
    assert scraped == [200, 200]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_killed_worker_restarts_quickly_while_the_other_answers(up: Up, program: str):
    killed, starts, env = min(up.workers(program)), count_starts(up, program), up.env
    failures = 0

    def serves_again() -> bool:
        nonlocal failures
        failures += not answers(env)
        return count_starts(up, program) > starts

    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{killed}").exists(), 2)  # until then connections may still go to a gateway

    assert wait_until(serves_again, 20) < BACK_SECONDS
    assert failures == 0
    assert len(up.workers(program) - {killed}) == 2


def count_starts(up: Up, program: str) -> int:
    """How often processes of this program have started to listen."""
    service = program.removesuffix("_service")
    return sum(events(up, name).count("listener_started") for name in LOGS if name.partition("-")[0] == service)


def test_sigterm_to_up_leaves_no_worker_running(up: Up):
    family = up.family()

    up.process.terminate()

    assert up.ended() == 0
    assert not alive(family)
