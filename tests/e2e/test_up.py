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

from flowpin_cli.machine.log_writer import FILE_BYTES, FILES
from tests.support.up_process import (
    PATIENCE,
    Up,
    alive,
    answers,
    command_line,
    flowpin,
    machine_is_quiet,
    make_workflow,
    python_for_others,
    workflow_names,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


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
    wait_until(lambda: answers(env), 2)

    flowpin("token", "revoke", re.search("tok_[0-9a-f]+", token.stderr)[0], *of)

    wait_until(lambda: not answers(env), 2)


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


def say(pid: int, lines: bytes) -> None:
    """Log as that process would."""
    with Path(f"/proc/{pid}/fd/2").open("wb") as output:
        output.write(lines)


def log_sizes(up: Up, name: str) -> list[int]:
    return sorted(path.lstat().st_size for path in (up.data / "logs").glob(f"{name}.log*"))


@pytest.mark.parametrize(("name", "program"), [("gateway", "gateway"), ("postgres", "postgres")])
def test_logs_stay_within_their_bound_while_it_runs(up, name, program):
    flood = 10_000 * b"a line of a log that nobody will ever read to its end, as there are too many of them\n"

    for _ in range(2 * FILES * FILE_BYTES // len(flood)):
        say(up.children()[program], flood)
    say(up.children()[program], b"the last line\n")

    wait_until(lambda: "the last line" in (up.data / "logs" / f"{name}.log").read_text(), 5)
    sizes = log_sizes(up, name)
    assert len(sizes) == FILES
    assert sizes[-1] <= FILE_BYTES
    assert answers(up.env)


def test_a_log_writer_that_is_killed_is_replaced_and_no_line_is_lost(up):
    writers = [pid for pid in up.family() if f"{up.data}/logs/gateway.log" in command_line(pid)]

    for pid in writers:
        os.kill(pid, signal.SIGKILL)
    say(up.children()["gateway"], b"after the writer's end\n")

    wait_until(lambda: "after the writer's end" in (up.data / "logs/gateway.log").read_text(), 5)
    assert len(writers) == 1


def test_services_do_not_wait_for_an_up_that_is_stopped(up):
    family = up.children()
    up.process.send_signal(signal.SIGSTOP)
    try:
        for _ in range(4):
            say(family["gateway"], b"a line\n" * 200_000)

        assert answers(up.env)
    finally:
        up.process.send_signal(signal.SIGCONT)


def test_a_data_folder_that_others_can_change_is_an_error_before_anything_is_written(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o777)
    (tmp_path / "data" / "lock").symlink_to(tmp_path / "elsewhere")
    up = Up(tmp_path / "data").start()

    assert up.ended() == 1

    assert up.output == f"flowpin: others may write in {up.data}; remove what is not yours there, then chmod go-w it\n"
    assert [path.name for path in up.data.iterdir()] == ["lock"]
    assert not (tmp_path / "elsewhere").exists()


COMMANDS = {
    "demo": ["demo"],
    "settings": ["settings"],
    "seed": ["seed"],
    "backup": ["backup", "/tmp/never-written"],
    "token list": ["token", "list"],
    "token new": ["token", "new", "--service", "x", "--role", "viewer", "--org", "x"],
    "token revoke": ["token", "revoke", "x"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_a_data_folder_that_others_can_change(tmp_path, command):
    (tmp_path / "data").mkdir()
    (tmp_path / "access.yaml").write_text("another's")
    (tmp_path / "data" / "access.yaml").symlink_to(tmp_path / "access.yaml")

    ran = flowpin(*COMMANDS[command], "--data", str(tmp_path / "data"))

    assert ran.returncode == 1
    assert f"{tmp_path}/data/access.yaml is a link" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_up_runs_nothing_from_the_folder_it_is_started_in(tmp_path):
    for name in ("gateway", "workflow_service", "deploy_service", "grpc", "structlog"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')")
    (tmp_path / ".env").write_text("DBMATE_MIGRATIONS_TABLE=elsewhere\n")
    up = Up(tmp_path / "data", cwd=tmp_path).start()

    up.ready()
    up.end()

    assert not (tmp_path / "was-run").exists()


def test_a_run_on_a_copy_of_the_data_folder_leaves_the_original_alone(up, tmp_path):
    copy = shutil.copytree(up.data, tmp_path / "copy", ignore=shutil.ignore_patterns("postgres", "lock"))

    Up(copy).start().ready().end()

    assert answers(up.env)
    assert Path((up.data / "socket").read_text().strip()).exists()


@pytest.mark.parametrize("program", ["postgres", "workflow_service", "deploy_service", "gateway"])
def test_a_killed_child_is_back_within_two_seconds_on_a_quiet_machine(up, program):
    killed = up.children()[program]

    os.kill(killed, signal.SIGKILL)

    wait_until(lambda: not alive({killed}), 1)
    assert wait_until(lambda: program in up.children() and answers(up.env), 8) < (2 if machine_is_quiet() else 4)
    assert up.children()[program] != killed


def test_children_do_not_outlive_up(up):
    family = up.family()

    up.process.kill()

    wait_until(lambda: not alive(family), 15)


def test_an_orphan_that_hangs_is_ended_by_the_next_up(up):
    orphan = up.children()["gateway"]
    os.kill(orphan, signal.SIGSTOP)
    up.process.kill()
    up.ended()

    up.start().ready()

    assert not alive({orphan})
    assert answers(up.env)


def test_the_next_up_finds_data_and_token_after_kill_9_of_everything(up):
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
    wait_until(lambda: "Stopping" in up.output, 2)
    up.process.terminate()

    assert up.ended() == 0
    assert not alive(family)


def test_a_child_that_crashes_five_times_ends_the_run_with_its_last_lines(tmp_path):
    up = Up(tmp_path / "data", GATEWAY_LOG_LEVEL="whisper").start()
    wait_until(lambda: "gateway ended" in up.output, PATIENCE)
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
