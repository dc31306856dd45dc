"""`flowpin verify` on running and stopped installations, against a backup, and after restores and upgrades."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

import deploy_service
import workflow_service
from flowpin_cli.machine.data_folder import DataFolder, locked
from flowpin_cli.postgres.alone import embedded_url, postgres_alone
from flowpin_cli.postgres.passwords import MIGRATOR_ROLES, SERVING_ROLES
from service_kit import migrations
from tests.support.life import deploy, make, save
from tests.support.paths import ROOT
from tests.support.up_process import PATIENCE, Up, call, flowpin, workflow_names
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    up = Up(tmp_path_factory.mktemp("verify") / "data").start().ready()
    make(up.env)
    yield up
    up.end()


async def sql(up: Up, *statements: str) -> None:
    db = await asyncpg.connect(embedded_url(DataFolder(up.data)))
    try:
        for statement in ("SET session_replication_role = replica", *statements):
            await db.execute(statement)
    finally:
        await db.close()


def backed_up(up: Up, file: Path) -> str:
    done = flowpin("backup", str(file), "--data", str(up.data))
    assert done.returncode == 0, done.stderr
    return str(file)


def test_verify_finds_nothing_wrong_in_a_fresh_run(up):
    ran = flowpin("verify", "--data", str(up.data))

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "✓ versions.digests" in ran.stdout
    assert ran.stdout.rstrip().endswith("nothing is wrong.")


async def test_verify_names_a_rewritten_version_in_text_and_in_json(up):
    await sql(up, "UPDATE workflow.versions SET flow = '{\"nodes\": []}' WHERE number = 1")
    workflow = call(up.env, "GET", f"/v1/workflows?project_id={up.env['FLOWPIN_PROJECT_ID']}")["data"][0]

    ran, as_json = flowpin("verify", "--data", str(up.data)), flowpin("verify", "--json", "--data", str(up.data))

    await sql(up, "UPDATE workflow.versions v SET flow = f.flow FROM deploy.flows f WHERE f.digest = v.digest")
    assert (ran.returncode, as_json.returncode) == (1, 1)
    assert f"- workflow {workflow['id']}, version 1, version id" in ran.stdout
    assert "2 findings, in versions.digests." in ran.stdout
    checks = {check["check"]: check for check in json.loads(as_json.stdout)["checks"]}
    assert [name for name, check in checks.items() if check["found"]] == ["versions.digests"]
    assert checks["versions.digests"]["findings"][0]["version"] == 1


def test_verify_reads_the_database_urls_of_the_services(up):
    folder = DataFolder(up.data)
    urls = {f"{name.upper()}_DATABASE_URL": embedded_url(folder, role) for name, role in SERVING_ROLES.items()}
    del urls["RUN_DATABASE_URL"]  # no app runs
    command = [sys.executable, "-P", "-m", "flowpin_cli", "verify"]

    both = subprocess.run(command, cwd=ROOT, env=os.environ | urls, capture_output=True, text=True)
    del urls["DEPLOY_DATABASE_URL"]
    one = subprocess.run(command, cwd=ROOT, env=os.environ | urls, capture_output=True, text=True)

    assert both.returncode == 0, both.stdout + both.stderr
    assert one.returncode == 2
    assert "DEPLOY_DATABASE_URL is not set" in one.stderr


def test_verify_exits_with_2_when_it_cannot_reach_a_database(tmp_path):
    nothing = flowpin("verify", "--data", str(tmp_path / "nothing"))
    silent = flowpin("verify", "--database-url", "postgresql://nobody@127.0.0.1:1/none")

    assert (nothing.returncode, silent.returncode) == (2, 2)
    assert "has no Postgres; name yours with --database-url" in nothing.stderr
    assert "cannot be used" in silent.stderr


def test_verify_against_a_backup_lists_what_a_restore_would_lose(up, tmp_path):
    workflow_id, app_id = make(up.env)
    backup = backed_up(up, tmp_path / "backup")
    same = flowpin("verify", "--against", backup, "--data", str(up.data))
    for number in (2, 3):
        save(up.env, workflow_id, number)
    deploy(up.env, app_id, workflow_id)
    new, _ = make(up.env)

    ran = flowpin("verify", "--against", backup, "--data", str(up.data))
    as_json = flowpin("verify", "--against", backup, "--json", "--data", str(up.data))

    assert (same.returncode, ran.returncode, as_json.returncode) == (0, 1, 1), ran.stderr
    assert "would lose no version and no deployment" in same.stdout
    found = json.loads(as_json.stdout)
    first, second = found["workflows"]["shown"]
    assert (first["id"], first["is_in_backup"], first["count"], first["given_out_again"]) == (new, False, 1, None)
    assert (second["id"], second["first"], second["last"]) == (workflow_id, 2, 3)
    assert second["given_out_again"] == [2, 3]
    assert (found["workflows"]["pieces"], found["workflows"]["numbers"], found["apps"]["pieces"]) == (3, 2, 2)
    assert f"workflow {workflow_id} kept: v2 to v3 (2; the newest of" in ran.stdout
    assert "given out again: v2 to v3" in ran.stdout


async def test_verify_against_a_backup_finds_a_version_number_with_different_content(up, tmp_path):
    workflow_id, _ = make(up.env)
    save(up.env, workflow_id, 2)
    backup = backed_up(up, tmp_path / "backup")
    await sql(
        up, f"UPDATE workflow.versions SET id = gen_random_uuid() WHERE workflow_id = '{workflow_id}' AND number = 2"
    )

    ran = flowpin("verify", "--against", backup, "--data", str(up.data))

    await sql(up, f"DELETE FROM workflow.versions WHERE workflow_id = '{workflow_id}' AND number = 2")
    await sql(up, f"UPDATE workflow.workflows SET version_count = 1, revision = 2 WHERE id = '{workflow_id}'")
    await sql(
        up, f"DELETE FROM workflow.audit_events WHERE subject_id = '{workflow_id}' AND details->>'version' = 'v2'"
    )
    assert ran.returncode == 1
    assert "something else in the backup: v2" in ran.stdout


def test_verify_against_a_file_that_is_not_a_backup_exits_with_2(up, tmp_path):
    (tmp_path / "file").write_text("SELECT 1")

    ran = flowpin("verify", "--against", str(tmp_path / "file"), "--data", str(up.data))

    assert ran.returncode == 2
    assert "is not a backup" in ran.stderr


async def test_a_restore_reports_what_verify_finds_in_the_backup(up, tmp_path):
    whole = backed_up(up, tmp_path / "whole")
    await sql(up, "UPDATE workflow.versions SET digest = canvas_digest WHERE number = 1")
    damaged = backed_up(up, tmp_path / "damaged")
    await sql(
        up, "UPDATE workflow.versions v SET digest = d.version_digest FROM deploy.deployments d WHERE version_id = v.id"
    )

    first = flowpin("restore", whole, "--data", str(tmp_path / "first"))
    second = flowpin("restore", damaged, "--data", str(tmp_path / "second"))
    stopped = flowpin("verify", "--data", str(tmp_path / "second"))

    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert "  ✓ Verified. 28 checks in" in first.stdout
    assert "  ! Verified. 28 checks in" in second.stdout
    assert "in versions.digests" in second.stdout
    assert stopped.returncode == 1
    assert "Postgres, started for this" in stopped.stderr


def test_verify_load_calls_a_running_installation_over_rest_and_grpc(up, tmp_path):
    history = tmp_path / "history.jsonl"

    ran = flowpin("verify", "--load", "3s", "--seed", "1", "--history", str(history), "--data", str(up.data))
    at_rest = flowpin("verify", "--data", str(up.data))

    assert (ran.returncode, at_rest.returncode) == (0, 0), ran.stdout + ran.stderr + at_rest.stdout
    assert "rest save" in ran.stdout
    assert "✓ saves kept" in ran.stdout
    assert "at rest" not in ran.stdout
    assert interfaces_in(history) == {"rest", "grpc"}
    assert [name for name in workflow_names(up.env) if name.startswith("verify-")] != []


def test_verify_load_calls_only_rest_without_the_grpc_addresses(up, tmp_path):
    history = tmp_path / "history.jsonl"
    named = {name: up.env[name] for name in ("FLOWPIN_URL", "FLOWPIN_TOKEN", "FLOWPIN_PROJECT_ID")}
    words = ["verify", "--load", "2s", "--history", str(history)]

    command = [sys.executable, "-P", "-m", "flowpin_cli", *words]
    ran = subprocess.run(command, cwd=ROOT, env=os.environ | named, capture_output=True, text=True)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert interfaces_in(history) == {"rest"}


def test_verify_load_exits_with_2_when_it_cannot_write_its_history(up):
    ran = flowpin("verify", "--load", "1s", "--history", "/dev/full", "--data", str(up.data))

    assert ran.returncode == 2
    assert "No space left on device" in ran.stderr


def interfaces_in(history: Path) -> set[str]:
    """The interfaces (REST, gRPC) of the calls in a history file."""
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    return {line["call"]["face"] for line in lines if "call" in line}


async def test_up_runs_verify_once_after_an_upgrade(tmp_path):
    data = tmp_path / "data"
    with locked(data) as folder:
        async with postgres_alone(folder) as databases:
            for service in (workflow_service, deploy_service):
                first = tmp_path / service.SCHEMA
                first.mkdir()
                for path in sorted(service.MIGRATIONS.glob("*.sql"))[:-1]:
                    shutil.copy(path, first)
                migrator = databases.url_of(MIGRATOR_ROLES[service.SCHEMA])
                serving = databases.url_of(SERVING_ROLES[service.SCHEMA])
                await migrations.provision(databases.admin_url, service.SCHEMA, migrator, serving)
                await migrations.migrate(migrator, service.SCHEMA, first)
    up = Up(data).start().ready()

    wait_until(lambda: "after the upgrade" in up.output, PATIENCE)
    up.end()

    assert "  ✓ Verified after the upgrade. 28 checks in" in up.output
    up.start().ready()
    up.end()
    assert "after the upgrade" not in up.output
