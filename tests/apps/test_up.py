"""`flowpin up` with a runtime: apps answer with their live version through deploys, rollbacks and killed processes."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.apps.app_calls import App, flow
from tests.support.up_process import Up, alive, flowpin, processes_below
from tests.support.waiting import wait_until

pytestmark = pytest.mark.apps

CUT_OVERS = 60
IMPORT_SECONDS = 120.0


@pytest.fixture(scope="module")
def app(up: Up) -> App:
    app = App(up.env)
    app.save()
    assert app.create()["status"] == "succeeded"
    return app


def test_the_demo_calls_the_app(up):
    demo = flowpin("demo", "--data", str(up.data))

    assert demo.returncode == 0, demo.stderr
    assert "total (v4) = 10.0" in demo.stdout
    assert "The main job works." in demo.stdout


def test_every_answer_comes_from_the_live_version(up, app):
    versions = [app.save(), app.save()]
    took, late = [], []
    app.deploy(versions[0])
    with app.called(4) as calls:
        for turn in range(CUT_OVERS):
            began = time.monotonic()
            done = app.rollback() if turn % 3 == 2 else app.deploy(versions[turn % 2])
            answered = time.monotonic()
            assert done["status"] == "succeeded", done
            assert done["rollout_notes"] == []
            label = done["workflow_version"]["label"]
            first = app.ask()
            took.append(first.ended - began)
            late.append((answered, label, first))
            time.sleep(0.02)
    assert len(calls.answers) > 100
    assert [each for each in calls.answers if each.status != 200] == []
    for each in calls.answers:
        assert str(each.output).startswith(f"{{'text': '{each.version} "), each
    assert [(label, first) for _, label, first in late if first.version != label] == []
    took.sort()
    said = f"first answer p50 {took[len(took) // 2] * 1000:.0f} ms, longest {took[-1]:.2f} s"
    sys.stderr.write(f"{len(calls.answers)} calls; {said}\n")
    assert took[len(took) // 2] < 1.0


def test_a_flow_that_cannot_be_loaded_leaves_the_old_version_live(up, app):
    before = app.ask()
    broken = flow(99)
    broken["nodes"][2]["type"] = "dynamiq.nodes.tools.NoSuchNode"
    failed = app.deployment(app.deploy(app.save(broken))["id"])

    assert failed["status"] == "failed"
    assert "NoSuchNode" in failed["error"]["message"]
    assert app.ask().version == before.version


@pytest.mark.parametrize("program", ["router", "deploy_service", "workflow_service", "gateway", "postgres"])
def test_an_app_answers_again_soon_after_a_process_is_killed(up, app, program):
    before = app.ask().version
    pid = _pid(up, program)
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: pid not in alive({pid}), 5)

    wait_until(lambda: app.ask().status == 200, 30)
    assert app.ask().version == before
    sys.stderr.write(f"{program}: answered {time.monotonic() - killed:.1f} s after it was killed\n")
    up.ready()
    wait_until(lambda: _deploys(app), 60)


def test_the_replicas_of_a_killed_host_process_end_and_are_started_again(up, app):
    before = app.ask().version
    replicas = _replicas(up)
    os.kill(_pid(up, "host"), signal.SIGKILL)

    wait_until(lambda: not alive(replicas), 10)
    wait_until(lambda: app.ask().status in (503, 0), 10)
    wait_until(lambda: app.ask().status == 200, IMPORT_SECONDS)
    assert app.ask().version == before


def test_flowpin_up_leaves_no_process_when_it_is_killed_or_stopped(up, app):
    before = app.ask().version
    family = up.family() | _replicas(up)
    for pid in sorted(family):
        kill_if_alive(pid)
    up.process.wait(10)
    wait_until(lambda: not alive(family), 10)

    up.start().ready()
    wait_until(lambda: app.ask().status == 200, IMPORT_SECONDS)
    assert app.ask().version == before
    everything = up.family() | _replicas(up)
    up.end()
    assert not alive(everything)


def kill_if_alive(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _deploys(app: App) -> bool:
    try:
        return app.deploy(app.save())["status"] == "succeeded"
    except OSError:
        return False


def _pid(up: Up, program: str) -> int:
    if program == "postgres":
        return up.children()[program]
    verb = {"router": "run_service serve", "host": "run_service host"}
    wanted = verb.get(program, f"{program} serve")
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(up.process.pid)], capture_output=True, text=True
    )
    return next(int(line.split()[0]) for line in listed.stdout.splitlines() if wanted in line)


def _replicas(up: Up) -> set[int]:
    """The process ids of zygotes and replicas: all descendants of the host process."""
    return processes_below(_pid(up, "host"), depth=9)
