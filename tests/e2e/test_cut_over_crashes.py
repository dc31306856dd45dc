"""After a kill -9 at each step of a cut-over, calls are answered by the deployment that the history says is live."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from flowpin_cli.verify.load.documents import answer_of, answering_flow
from tests.support.apps.app_calls import Answer, App
from tests.support.hosting.host_process import standin_runtimes
from tests.support.up_process import Up, answers, call, command_line, processes_below
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

UNDER_WAY = ("pending", "deploying")
PATIENCE = 60.0
ROUTED_SECONDS = 10.0
"""Seconds until routers use the deployment that the history says is live."""
CALL = 3
STEPS = {
    "requested, the deploy service": ("deploy", "rollout_started", "deploy_service serve"),
    "started, the router": ("run", "replica_started", "run_service serve"),
    "started, the host process": ("run", "replica_started", "run_service host"),
    "reported, Postgres": ("run", "rollout_reported", "postgres"),
    "live, the deploy service": ("deploy", "rollout_finished", "deploy_service serve"),
    "live, the router": ("deploy", "rollout_finished", "run_service serve"),
}
"""The service that logs the end of a step, the log event, and the program that is killed then."""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("cut-overs")
    folder.chmod(0o755)
    (folder / "runtimes").mkdir()
    up = Up(folder / "data", FLOWPIN_RUNTIMES=str(standin_runtimes(folder / "runtimes"))).start()
    try:
        yield up.ready()
    finally:
        up.end()


@pytest.fixture(scope="module")
def app(up: Up) -> App:
    app = App(up.env, {"call": CALL})
    app.save(answering_flow(1))
    assert app.create()["status"] == "succeeded"
    return app


@pytest.mark.parametrize("step", STEPS)
def test_after_a_kill_in_a_cut_over_the_live_deployment_answers(up: Up, app: App, step: str):
    service, event, killed = STEPS[step]
    wait_until(lambda: answers(up.env), PATIENCE)
    version = app.save(answering_flow(app.versions + 1))
    log = up.data / "logs" / f"{service}.log"
    seen = log.stat().st_size
    deploying = threading.Thread(target=lambda: _tried(lambda: app.deploy(version)))

    with app.called(2) as calls:
        deploying.start()
        wait_until(lambda: event.encode() in log.read_bytes()[seen:], PATIENCE)
        os.kill(_pid(up, killed), signal.SIGKILL)
        at = time.monotonic()
        wait_until(lambda: any(each.began > at and each.status == 200 for each in calls.answers), PATIENCE)
        took = time.monotonic() - at
        deploying.join(PATIENCE)
        live = _live(up, app)
        # A deploy whose connection broke had no answer, so routers may learn of its version after the history has it.
        wait_until(lambda: app.ask().version == live, ROUTED_SECONDS)
    sys.stderr.write(f"{step}: answered {took:.1f} s after the kill\n")

    assert {each.status for each in calls.answers} <= {0, 200, 500, 503}
    assert [each for each in calls.answers if each.status == 200 and not _is_its_own(each)] == []


def _is_its_own(answer: Answer) -> bool:
    """Whether the answer is that of the version in its header."""
    return answer.output == answer_of(CALL, int(str(answer.version).removeprefix("v")))


def _live(up: Up, app: App) -> str:
    """The version that the history says is live, once no rollout is in progress."""
    found: list[dict] = []

    def has_settled() -> bool:
        found[:] = _tried(lambda: call(up.env, "GET", f"/v1/apps/{app.id}/deployments")["data"]) or []
        return bool(found) and not any(each["status"] in UNDER_WAY for each in found)

    wait_until(has_settled, PATIENCE)
    (live,) = [each for each in found if each["live"]]
    return live["workflow_version"]["label"]


def _tried(work: Callable[[], object]) -> object:
    """None when the connection of the call broke."""
    try:
        return work()
    except OSError:
        return None


def _pid(up: Up, program: str) -> int:
    if program == "postgres":
        return up.children()[program]
    module, verb = program.split()
    below = processes_below(up.process.pid, depth=1)
    return next(pid for pid in below if {module, verb} <= set(command_line(pid)))
