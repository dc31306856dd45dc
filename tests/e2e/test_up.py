"""`flowpin up` as a person uses it: it starts, restarts its processes, and ends without leaving any running."""

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
import urllib.error
import urllib.request
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
    call,
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
    # Longer than the path of a Unix socket may be. All tests here must work in such a folder.
    up = Up(tmp_path_factory.mktemp("up") / ("long-" * 24)).start()
    yield up
    up.end()


@pytest.fixture
def up(first_up: Up) -> Up:
    """A running installation. The tests of this file share its data."""
    if first_up.process.poll() is not None:
        first_up.start()
    return first_up.ready()


def test_the_curl_command_that_up_prints_works(up):
    curl = re.search(r"^  (curl .*)$", up.output, re.MULTILINE)[1]

    answer = subprocess.run(["/bin/sh", "-c", curl], env=os.environ | up.env, capture_output=True, check=True).stdout

    assert json.loads(answer)["pagination"]["page"] == 1
    assert all(up.env[name] in up.output for name in ("FLOWPIN_URL", "FLOWPIN_PROJECT_ID"))


def test_up_prints_no_token_when_its_output_is_not_a_terminal(up):
    assert "dyn_pat_" not in up.output
    assert "/sign-in/" not in up.output
    assert f"FLOWPIN_TOKEN in {up.data}/env" in up.output


def test_private_files_of_the_data_folder_are_readable_only_by_the_owner(up):
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


def test_the_env_file_contains_the_pid_of_the_run(up):
    assert up.env["FLOWPIN_PID"] == str(up.process.pid)


def test_the_demo_plays_the_main_job(up):
    demo = flowpin("demo", "--data", str(up.data))

    assert demo.returncode == 0, demo.stderr
    assert "The main job works." in demo.stdout


def test_the_demo_reports_a_refused_token(up, tmp_path):
    (tmp_path / "env").write_text((up.data / "env").read_text().replace("dyn_pat_", "dyn_pat_not"))

    demo = flowpin("demo", "--data", str(tmp_path))

    assert demo.returncode == 1
    assert "401" in demo.stderr
    assert "Traceback" not in demo.stderr


def test_up_refuses_a_revoked_token_within_two_seconds(up):
    of = ("--data", str(up.data))
    token = flowpin(
        "token", "new", "--service", "ci", "--role", "viewer", "--project", up.env["FLOWPIN_PROJECT_ID"], *of
    )
    env = up.env | {"FLOWPIN_TOKEN": token.stdout.strip()}
    wait_until(lambda: answers(env), 2)

    flowpin("token", "revoke", re.search("tok_[0-9a-f]+", token.stderr)[0], *of)

    wait_until(lambda: not answers(env), 2)


def test_the_token_of_up_and_operators_tokens_may_change_runtimes(up):
    of = ("--data", str(up.data))
    minted = flowpin("token", "new", "--service", "machines", "--operator", *of)
    env = up.env | {"FLOWPIN_TOKEN": minted.stdout.strip()}

    def is_known() -> bool:
        try:
            return bool(call(env, "GET", "/v1/runtimes"))
        except OSError:
            return False

    wait_until(is_known, 2)
    for who in (env, up.env):
        [runtime] = call(who, "GET", "/v1/runtimes")["data"]
        assert call(who, "PUT", f"/v1/runtimes/{runtime['id']}", {"label": "Dynamiq"})["data"]["label"] == "Dynamiq"

    assert "of machines, operator." in minted.stderr


def test_a_second_up_on_the_same_data_folder_reports_the_first_and_ends(up):
    second = Up(up.data).start()

    assert second.ended() == 1
    assert f"flowpin is already up on {up.data} (pid {up.process.pid})" in second.output
    assert answers(up.env)


def test_up_reports_a_taken_port_before_it_starts_anything(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = Up(tmp_path / "data").start(port)

        assert up.ended() == 1

    assert f"port {port} is taken" in up.output
    assert "Traceback" not in up.output
    assert not (tmp_path / "data/postgres").exists()


def write_log(pid: int, lines: bytes) -> None:
    """Write lines to the log of that process."""
    with Path(f"/proc/{pid}/fd/2").open("wb") as output:
        output.write(lines)


def log_sizes(up: Up, name: str) -> list[int]:
    return sorted(path.lstat().st_size for path in (up.data / "logs").glob(f"{name}.log*"))


@pytest.mark.parametrize(("name", "program"), [("gateway", "gateway"), ("postgres", "postgres")])
def test_logs_of_up_stay_within_their_size_limit(up, name, program):
    flood = 10_000 * b"a line of a log that nobody will ever read to its end, as there are too many of them\n"

    for _ in range(2 * FILES * FILE_BYTES // len(flood)):
        write_log(up.children()[program], flood)
    write_log(up.children()[program], b"the last line\n")

    wait_until(lambda: "the last line" in (up.data / "logs" / f"{name}.log").read_text(), 5)
    sizes = log_sizes(up, name)
    assert len(sizes) == FILES
    assert sizes[-1] <= FILE_BYTES
    assert answers(up.env)


def test_a_log_writer_that_is_killed_is_replaced_and_no_line_is_lost(up):
    writers = [pid for pid in up.family() if f"{up.data}/logs/gateway.log" in command_line(pid)]

    for pid in writers:
        os.kill(pid, signal.SIGKILL)
    write_log(up.children()["gateway"], b"after the writer's end\n")

    wait_until(lambda: "after the writer's end" in (up.data / "logs/gateway.log").read_text(), 5)
    assert len(writers) == 1


def test_services_answer_while_up_itself_is_stopped(up):
    family = up.children()
    up.process.send_signal(signal.SIGSTOP)
    try:
        for _ in range(4):
            write_log(family["gateway"], b"a line\n" * 200_000)

        assert answers(up.env)
    finally:
        up.process.send_signal(signal.SIGCONT)


def test_up_refuses_a_data_folder_that_others_can_change_before_writing_to_it(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o777)
    (tmp_path / "data" / "lock").symlink_to(tmp_path / "elsewhere")
    up = Up(tmp_path / "data").start()

    assert up.ended() == 1

    assert up.output == f"flowpin: others can write in {up.data}; remove what is not yours there, then chmod go-w it\n"
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


def test_up_runs_no_code_from_its_working_folder(tmp_path):
    for name in ("gateway", "workflow_service", "deploy_service", "grpc", "structlog"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')")
    (tmp_path / ".env").write_text("DBMATE_MIGRATIONS_TABLE=elsewhere\n")
    up = Up(tmp_path / "data", cwd=tmp_path).start()

    up.ready()
    up.end()

    assert not (tmp_path / "was-run").exists()


def test_a_run_on_a_copy_of_the_data_folder_does_not_disturb_the_original(up, tmp_path):
    copy = shutil.copytree(up.data, tmp_path / "copy", ignore=shutil.ignore_patterns("postgres", "lock"))

    Up(copy).start().ready().end()

    assert answers(up.env)
    assert Path((up.data / "socket").read_text().strip()).exists()


@pytest.mark.parametrize("program", ["postgres", "workflow_service", "deploy_service", "gateway", "console"])
def test_up_restarts_a_killed_process_within_two_seconds_on_a_quiet_machine(up, program):
    killed = up.children()[program]

    os.kill(killed, signal.SIGKILL)

    wait_until(lambda: not alive({killed}), 1)
    assert wait_until(lambda: program in up.children() and answers(up.env), 8) < (2 if machine_is_quiet() else 4)
    assert up.children()[program] != killed


def test_up_starts_the_console_and_its_sign_in_link_works_once(up):
    url = up.env["FLOWPIN_CONSOLE_URL"]
    made = flowpin("sign-in", "--data", str(up.data)).stdout.strip()

    def is_there() -> bool:  # an earlier test may have killed it
        with suppress(OSError):
            return urllib.request.urlopen(f"{url}/health/live", timeout=5).status == 200
        return False

    def taken() -> int:
        request = urllib.request.Request(made, b"", {"Sec-Fetch-Site": "same-origin"}, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    wait_until(is_there, 20)
    assert "Sign in  with `flowpin sign-in --data" in up.output
    assert up.env["FLOWPIN_TOKEN"] not in made
    assert made.startswith(f"{url}/sign-in/")
    assert [taken(), taken()] == [200, 404]


def test_up_without_the_console_does_not_start_it(tmp_path):
    up = Up(tmp_path / "data").start(console=False).ready()
    try:
        assert "console" not in up.children()
        assert "FLOWPIN_CONSOLE_URL" not in up.env
    finally:
        up.end()


def test_processes_of_up_end_when_up_is_killed(up):
    family = up.family()

    up.process.kill()

    wait_until(lambda: not alive(family), 15)


def test_the_next_up_ends_a_hanging_process_of_the_last_run(up):
    orphan = up.children()["gateway"]
    os.kill(orphan, signal.SIGSTOP)
    up.process.kill()
    up.ended()

    up.start().ready()

    assert not alive({orphan})
    assert answers(up.env)


def test_the_next_up_has_the_same_data_and_token_after_kill_9_of_every_process(up):
    before, name, family = up.env, make_workflow(up.env), up.family()

    for pid in family:
        with suppress(ProcessLookupError):  # the end of one ends others
            os.kill(pid, signal.SIGKILL)
    up.ended()
    up.start().ready()

    assert up.env | {"FLOWPIN_PID": ""} == before | {"FLOWPIN_PID": ""}
    assert name in workflow_names(before)


def test_a_second_signal_ends_up_without_waiting_for_a_hanging_process(up):
    family = up.family()
    os.kill(up.children()["gateway"], signal.SIGSTOP)

    up.process.terminate()
    wait_until(lambda: "Stopping" in up.output, 2)
    up.process.terminate()

    assert up.ended() == 0
    assert not alive(family)


def test_a_process_that_crashes_five_times_ends_up_with_its_last_log_lines(tmp_path):
    up = Up(tmp_path / "data", GATEWAY_METRICS_LISTEN="192.0.2.1:1").start()  # not an address of this machine
    wait_until(lambda: "gateway ended" in up.output, PATIENCE)
    family = up.family()

    assert up.ended() == 1

    assert "gateway ended with exit code 1, the 5th time in 30 seconds" in up.output
    assert "metrics cannot be served on 192.0.2.1:1" in up.output
    assert not alive(family)


def test_sigterm_to_up_leaves_no_process_running(up):
    family = up.family()

    up.process.terminate()

    assert up.ended() == 0
    assert not alive(family)
    assert not Path((up.data / "socket").read_text().strip()).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests already run as an ordinary user")
def test_an_ordinary_user_can_run_up():
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
