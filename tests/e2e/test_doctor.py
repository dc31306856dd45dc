"""`flowpin doctor` finds problems, says what to do, and changes nothing."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from flowpin_cli.machine.data_folder import DataFolder
from flowpin_cli.postgres.alone import embedded_url
from flowpin_cli.postgres.socket_folder import MARKER
from service_kit.access.tokens import read_access_file
from tests.support.up_process import PATIENCE, Up, answers, flowpin
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

Findings = list[dict[str, str]]

HARMS = {
    "flowpin_workflow may UPDATE versions.flow": (
        "GRANT UPDATE (flow) ON workflow.versions TO flowpin_workflow",
        "REVOKE UPDATE (flow) ON workflow.versions FROM flowpin_workflow",
    ),
    "flowpin_deploy may DELETE deployments": (
        "GRANT DELETE ON deploy.deployments TO PUBLIC",
        "REVOKE DELETE ON deploy.deployments FROM PUBLIC",
    ),
    "flowpin_deploy is a member of pg_monitor": (
        "GRANT pg_monitor TO flowpin_deploy",
        "REVOKE pg_monitor FROM flowpin_deploy",
    ),
    "flowpin_workflow may look into the schema deploy": (
        "GRANT USAGE ON SCHEMA deploy TO flowpin_workflow",
        "REVOKE USAGE ON SCHEMA deploy FROM flowpin_workflow",
    ),
    "The schema deploy is older than the code. Missing: 0002_index_idempotency_keys": (
        "DELETE FROM deploy.schema_migrations WHERE version = '0002'",
        "INSERT INTO deploy.schema_migrations VALUES ('0002')",
    ),
}
"""The expected finding, the statement that causes it, and the statement that repairs it."""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    up = Up(tmp_path_factory.mktemp("doctor") / "data").start().ready()
    yield up
    up.end()


@pytest.fixture
def stopped(up: Up, tmp_path: Path) -> Path:
    """The data folder of a stopped run."""
    return Path(shutil.copytree(up.data, tmp_path / "stopped", ignore=shutil.ignore_patterns("postgres", "lock")))


def examined(data: Path) -> tuple[int, Findings]:
    ran = flowpin("doctor", "--json", "--data", str(data))
    assert ran.stderr == ""
    return ran.returncode, json.loads(ran.stdout)


def said(findings: Findings, state: str) -> str:
    return "\n".join(finding["what"] for finding in findings if finding["state"] == state)


async def sql(up: Up, statement: str) -> None:
    db = await asyncpg.connect(embedded_url(DataFolder(up.data)))
    await db.execute(statement)
    await db.close()


@contextmanager
def changed(path: Path, old: str, new: str) -> Iterator[None]:
    before = path.read_text()
    path.write_text(before.replace(old, new, 1))
    assert path.read_text() != before
    yield
    path.write_text(before)


def test_doctor_finds_no_problem_in_a_fresh_run(up):
    code, findings = examined(up.data)

    assert code == 0
    assert said(findings, "problem") == said(findings, "unchecked") == ""
    assert "The schema workflow is the code's" in said(findings, "ok")
    assert "clock and this machine's differ by" in said(findings, "ok")


def test_doctor_prints_marks_and_counts(up):
    ran = flowpin("doctor", "--data", str(up.data))

    assert "  ✓ The gateway is ready, on port " in ran.stdout
    assert "\n0 problems, " in ran.stdout


def test_doctor_finds_a_secret_that_others_can_read_and_shows_the_command(up):
    (up.data / "env").chmod(0o644)

    code, findings = examined(up.data)

    (up.data / "env").chmod(0o600)
    assert code == 1
    assert [f["do"].partition(";")[0] for f in findings if f["state"] == "problem"] == [f"chmod 600 {up.data / 'env'}"]


def test_doctors_commands_quote_the_name_of_the_data_folder(stopped):
    odd = stopped.rename(stopped.parent / "odd; name")
    (odd / "env").chmod(0o644)
    (odd / "postgres.unfinished").mkdir(mode=0o700)

    _, findings = examined(odd)

    do = "".join(finding["do"] for finding in findings)
    assert f"chmod 600 '{odd}/env'" in do
    assert f"rm -r '{odd}/postgres.unfinished'" in do


async def test_doctor_finds_a_database_that_differs_from_its_migrations(up):
    await sql(up, "; ".join(harm for harm, _ in HARMS.values()))

    code, findings = examined(up.data)

    await sql(up, "; ".join(cure for _, cure in HARMS.values()))
    assert code == 1
    assert [what for what in HARMS if what not in said(findings, "problem")] == []
    assert said(findings, "problem").count("\n") == len(HARMS) - 1


def test_doctor_finds_an_access_file_that_cannot_be_parsed(up):
    with changed(up.data / "access.yaml", "orgs:", "orgs: ["):
        code, findings = examined(up.data)

    assert code == 1
    assert "The access file cannot be used" in said(findings, "problem")


def test_doctor_names_expired_tokens(up):
    token = read_access_file(up.data / "access.yaml").tokens[0].id

    with changed(up.data / "access.yaml", f"- id: {token}\n", f"- id: {token}\n    expires_at: 2020-01-01T00:00:00Z\n"):
        _, findings = examined(up.data)

    assert f"Expired: {token}" in said(findings, "warning")
    assert "The token in" in said(findings, "warning")
    assert "No valid token has the role admin" in said(findings, "warning")


def test_doctor_finds_an_invalid_token_of_the_deploy_service(up):
    kept = (up.data / "deploy-service.token").read_text()
    (up.data / "deploy-service.token").write_text("dyn_pat_another\n")

    code, findings = examined(up.data)

    (up.data / "deploy-service.token").write_text(kept)
    assert code == 1
    assert "new versions cannot be deployed" in said(findings, "problem")


def test_doctor_finds_a_process_that_hangs(up):
    pid = up.children()["gateway"]
    os.kill(pid, signal.SIGSTOP)

    code, findings = examined(up.data)

    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: answers(up.env), 5)
    assert code == 1
    assert "The gateway is not ready" in said(findings, "problem")


def test_doctor_names_the_socket_folder_of_a_crashed_run(up, tmp_path):
    crashed = Up(tmp_path / "crashed").start()
    wait_until(lambda: (crashed.data / "socket").exists(), PATIENCE)
    left = DataFolder(crashed.data).secret("socket")
    crashed.process.kill()
    crashed.ended()

    _, findings = examined(up.data)

    advice = "".join(finding["do"] for finding in findings if finding["state"] == "warning")
    shutil.rmtree(left)
    assert left in advice
    assert DataFolder(up.data).secret("socket") not in str(findings)


def test_doctor_ignores_other_programs_folders_with_similar_names(up):
    with tempfile.TemporaryDirectory(prefix="flowpin-", dir="/tmp") as theirs:
        shutil.copy(Path(DataFolder(up.data).secret("socket")) / MARKER, theirs)
        os.utime(theirs, (time.time() - 3600,) * 2)

        _, findings = examined(up.data)

    assert theirs not in str(findings)


@pytest.mark.parametrize("json_", [(), ("--json",)])
def test_doctor_does_not_read_a_data_folder_that_others_can_change(tmp_path, json_):
    (tmp_path / "secret").write_text("another program's")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "env").symlink_to(tmp_path / "secret")
    (tmp_path / "data" / "access.yaml").symlink_to(tmp_path / "secret")

    ran = flowpin("doctor", *json_, "--data", str(tmp_path / "data"))

    assert ran.returncode == 1
    assert ran.stderr == ""
    assert f"The data folder cannot be trusted: {tmp_path}/data/access.yaml is a link" in ran.stdout
    assert "another program's" not in ran.stdout


def test_doctor_says_what_it_could_not_check_without_a_run(stopped):
    code, findings = examined(stopped)

    assert code == 0
    assert "`flowpin up` does not run here" in said(findings, "unchecked")
    assert "its migrations, roles and clock were not checked" in said(findings, "unchecked")
    assert "access.yaml declares 1 project, 2 users and 2 tokens" in said(findings, "ok")


def test_doctor_names_a_port_that_another_program_has_taken(stopped):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (stopped / "ports.json").write_text(json.dumps({"gateway": port, "workflow": 1, "deploy": 2}))

        _, findings = examined(stopped)

    assert f"{port}, is taken by another program" in said(findings, "warning")


def test_doctor_changes_and_starts_nothing(stopped, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in stopped.rglob("*")}

    examined(stopped)
    examined(tmp_path / "no-such-folder")

    assert {path: path.stat().st_mtime_ns for path in stopped.rglob("*")} == before
    assert not (tmp_path / "no-such-folder").exists()


def test_doctor_says_what_to_do_for_each_problem(tmp_path):
    _, findings = examined(tmp_path / "no-such-folder")

    assert [finding["what"] for finding in findings if finding["state"] != "ok" and not finding["do"]] == []


def test_doctor_checks_everything_else_when_grpc_cannot_be_imported(stopped, tmp_path):
    (tmp_path / "grpc.py").write_text("raise ImportError('broken')")
    script = "import sys; sys.argv[0] = 'flowpin'; from flowpin_cli import cli; cli.main()"

    ran = subprocess.run(
        [sys.executable, "-c", script, "doctor", "--json", "--data", str(stopped)],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{Path.cwd()}"},
        capture_output=True,
        text=True,
    )

    findings = json.loads(ran.stdout)
    assert ran.returncode == 1
    assert "This could not be checked: broken" in said(findings, "problem")
    assert "grpcio" in said(findings, "ok")
    assert "GB are free" in said(findings, "ok")
    assert "access.yaml declares" in said(findings, "ok")
