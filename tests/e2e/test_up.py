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
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.up_process import (
    PATIENCE,
    Up,
    alive,
    answers,
    eventually,
    flowpin,
    make_workflow,
    python_for_others,
    workflow_names,
)


@pytest.fixture(scope="module")
def first_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    # Longer than a Unix socket's path may be: all that follows must hold there, too.
    up = Up(tmp_path_factory.mktemp("up") / ("long-" * 24)).start()
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

    answer = subprocess.run(["/bin/sh", "-c", curl], capture_output=True, check=True).stdout

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


def test_the_demo_plays_the_main_job(up):
    demo = flowpin("demo", "--data", str(up.data))

    assert demo.returncode == 0, demo.stderr
    assert "The main job works." in demo.stdout


def test_the_demo_says_so_when_its_token_is_refused(up, tmp_path):
    (tmp_path / "env").write_text((up.data / "env").read_text().replace("dyn_pat_", "dyn_pat_not"))

    demo = flowpin("demo", "--data", str(tmp_path))

    assert demo.returncode == 1
    assert "401" in demo.stderr
    assert "Traceback" not in demo.stderr


def test_a_revoked_token_is_refused_within_two_seconds(up):
    of = ("--data", str(up.data))
    token = flowpin(
        "token", "new", "--service", "ci", "--role", "viewer", "--project", up.env["FLOWPIN_PROJECT_ID"], *of
    )
    env = up.env | {"FLOWPIN_TOKEN": token.stdout.strip()}
    eventually(lambda: answers(env), 2)

    flowpin("token", "revoke", re.search("tok_[0-9a-f]+", token.stderr)[0], *of)

    eventually(lambda: not answers(env), 2)


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
    assert "Input should be 'debug', 'info'" in up.output
    assert not alive(family)


def test_sigterm_leaves_nothing_running(up):
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
