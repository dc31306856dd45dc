"""A restore of a backup recovers all data of a lost installation, and refuses wrong targets and damaged files."""

import asyncio
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

import deploy_service
import run_service
import workflow_service
from flowpin_cli.machine.data_folder import DataFolder, locked
from flowpin_cli.postgres.alone import embedded_url, postgres_alone
from flowpin_cli.postgres.passwords import MIGRATOR_ROLES, SERVING_ROLES
from service_kit import migrations
from service_kit.access.tokens import write_first_access_file
from tests.support.backups import structure
from tests.support.life import Life, body, deploy, make_tokens, save, the_main_job, writing
from tests.support.tcp_postgres import TcpPostgres
from tests.support.up_process import Up, call, flowpin
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

RIGHTS = """
    SELECT nspname, relname, '' AS attname, relowner::regrole::text, relacl::text
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname IN ('workflow', 'deploy') AND relkind = 'r'
    UNION ALL
    SELECT nspname, relname, attname, '', attacl::text
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname IN ('workflow', 'deploy') AND attacl IS NOT NULL
    UNION ALL
    SELECT nspname, '', '', nspowner::regrole::text, nspacl::text
    FROM pg_namespace WHERE nspname IN ('workflow', 'deploy')
"""
UNPINNED = """
    SELECT count(*) FROM deploy.deployments LEFT JOIN workflow.versions
    ON (versions.project_id, versions.id) = (deployments.project_id, version_id) WHERE versions.id IS NULL
"""
MISCOUNTED = """
    SELECT count(*) FROM workflow.workflows
    WHERE version_count <> (SELECT count(*) FROM workflow.versions WHERE workflow_id = workflows.id)
"""

REFUSING = """
    CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no more indexes'; END $$;
    CREATE EVENT TRIGGER refusing ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION refuse();
"""


async def rights(data: Path) -> list[Any]:
    db = await asyncpg.connect(embedded_url(DataFolder(data)))
    try:
        return sorted(tuple(row) for row in await db.fetch(RIGHTS))
    finally:
        await db.close()


@pytest.fixture(scope="module")
async def life(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("backup")
    life = Life(Up(folder / "data").start().ready(), folder / "flowpin.backup")
    the_main_job(life)
    make_tokens(life)
    life.rights = await rights(life.up.data)
    life.structure = structure(embedded_url(DataFolder(life.up.data)))
    done = flowpin("backup", str(life.backup), "--data", str(life.up.data))
    assert done.returncode == 0, done.stderr
    life.refusals["running"] = flowpin("restore", str(life.backup), "--data", str(life.up.data))
    life.up.end()
    life.refusals["stopped"] = flowpin("restore", str(life.backup), "--data", str(life.up.data))

    shutil.rmtree(life.up.data)
    done = flowpin("restore", str(life.backup), "--data", str(life.up.data))
    assert done.returncode == 0, done.stderr

    life.up.start().ready()
    yield life
    life.up.end()


def test_a_restored_installation_answers_reads_as_before_byte_for_byte(life):
    found = {path: body(life.as_("admin"), path) for path in life.bodies}

    assert found == life.bodies


def test_a_restored_database_has_the_same_tables_indexes_functions_rights_and_rows(life):
    assert structure(embedded_url(DataFolder(life.up.data))) == life.structure


def test_after_a_restore_a_save_gets_the_next_number(life):
    saved = save(life.as_("admin"), life.workflow_id, 3)

    assert saved["version"] == 3
    events = call(life.as_("admin"), "GET", f"/v1/workflows/{life.workflow_id}/audit-events")["data"]
    assert [event["details"].get("version") for event in events] == ["v3", "v2", "v1", None]


def test_after_a_restore_an_app_deploys_and_rolls_back(life):
    ids = [json.loads(life.bodies[f"/v1/workflows/{life.workflow_id}/versions/{n}"])["data"]["id"] for n in (2, 1)]

    done = [deploy(life.as_("admin"), life.app_id, life.workflow_id, workflow_version_id=id_) for id_ in ids]

    assert [(d["kind"], d["workflow_version"]["label"]) for d in done] == [("deploy", "v2"), ("rollback", "v1")]


def test_after_a_restore_valid_tokens_work_and_revoked_ones_stay_revoked(life):
    read = body(life.as_("viewer"), f"/v1/workflows/{life.workflow_id}/versions/1")

    with pytest.raises(urllib.error.HTTPError) as refused:
        body(life.as_("revoked"), f"/v1/workflows/{life.workflow_id}")
    assert read == life.bodies[f"/v1/workflows/{life.workflow_id}/versions/1"]
    assert refused.value.code == 401


async def test_a_restored_database_has_the_same_owners_and_grants(life):
    found = await rights(life.up.data)

    assert found == life.rights


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("flowpin_workflow", "UPDATE workflow.versions SET flow = '{}'"),
        ("flowpin_workflow", "DELETE FROM workflow.versions"),
        ("flowpin_workflow", "SELECT FROM deploy.deployments"),
        ("flowpin_deploy", "UPDATE deploy.deployments SET version_id = project_id"),
        ("flowpin_deploy", "UPDATE deploy.flows SET flow = '{}'"),
    ],
)
async def test_after_a_restore_serving_roles_still_cannot_rewrite_data(life, role, statement):
    db = await asyncpg.connect(embedded_url(DataFolder(life.up.data), role))

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.execute(statement)

    await db.close()


def test_a_backup_file_is_private_and_contains_no_token(life):
    with zipfile.ZipFile(life.backup) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())

    assert stat.S_IMODE(life.backup.stat().st_mode) == 0o600
    assert b"dyn_pat_" not in content
    assert [path.name for path in life.backup.parent.iterdir() if path != life.up.data] == [life.backup.name]


def test_an_existing_backup_is_not_overwritten(life):
    before = life.backup.read_bytes()

    again = flowpin("backup", str(life.backup), "--data", str(life.up.data))

    assert again.returncode == 1
    assert f"{life.backup} exists" in again.stderr
    assert life.backup.read_bytes() == before


@pytest.mark.parametrize(("state", "says"), [("running", "is already up on"), ("stopped", "has a Postgres")])
def test_a_restore_onto_an_existing_installation_is_refused(life, state, says):
    refused = life.refusals[state]

    assert refused.returncode == 1
    assert says in refused.stderr


def test_a_restore_does_not_overwrite_another_access_file(life, tmp_path):
    write_first_access_file(tmp_path / "access.yaml", "another")
    before = (tmp_path / "access.yaml").read_text()

    refused = flowpin("restore", str(life.backup), "--data", str(tmp_path))

    assert refused.returncode == 1
    assert "access.yaml exists already" in refused.stderr
    assert (tmp_path / "access.yaml").read_text() == before
    assert not (tmp_path / "postgres").exists()


def damaged(backup: Path, damage: str, target: Path) -> Path:
    """A damaged copy of the backup."""
    content = backup.read_bytes()
    if damage == "a byte":
        content = content[:2000] + bytes([content[2000] ^ 1]) + content[2001:]
    elif damage == "an end":
        content = content[:-100]
    elif damage == "another file":
        content = b"PK, or rather not"
    target.write_bytes(content)
    if damage in ("a newer migration", "an exchanged dump"):
        with zipfile.ZipFile(backup) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        files["database.dump"] += b"\n" if damage == "an exchanged dump" else b""
        newer = json.loads(files["manifest.json"])
        newer["migrations"]["deploy"] += ["9999"] if damage == "a newer migration" else []
        files["manifest.json"] = json.dumps(newer).encode()
        with zipfile.ZipFile(target, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
    return target


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("a byte", "is damaged"),
        ("an end", "is damaged"),
        ("another file", "is not a backup"),
        ("an exchanged dump", "database.dump does not match the manifest"),
        ("a newer migration", "schema deploy has the migration 9999, which this one does not know"),
    ],
)
def test_a_damaged_or_too_new_backup_is_refused_before_anything_is_created(life, tmp_path, damage, says):
    backup = damaged(life.backup, damage, tmp_path / "damaged")

    refused = flowpin("restore", str(backup), "--data", str(tmp_path / "data"))

    assert refused.returncode == 1
    assert says in refused.stderr
    assert not (tmp_path / "data").exists()


def test_an_interrupted_restore_leaves_no_usable_installation_and_can_be_repeated(life, tmp_path):
    data = tmp_path / "data"
    words = [sys.executable, "-P", "-m", "flowpin_cli", "restore", str(life.backup), "--data", str(data)]
    restore = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    wait_until(lambda: (data / "restore.unfinished/postgres/postmaster.pid").exists(), 20)
    os.kill(restore.pid, signal.SIGKILL)
    restore.wait()
    left = sorted(path.name for path in data.iterdir())

    again = flowpin(*words[4:])

    assert left == ["lock", "logs", "restore.unfinished"]
    assert again.returncode == 0, again.stderr
    assert sorted(path.name for path in data.iterdir()) == ["access.yaml", "lock", "logs", "postgres"]


async def test_a_restore_migrates_schemas_older_than_the_code(tmp_path):
    old = tmp_path / "old"
    with locked(old) as folder:
        async with postgres_alone(folder) as databases:
            for service in (workflow_service, deploy_service):
                first = tmp_path / service.SCHEMA
                first.mkdir()
                shutil.copy(min(service.MIGRATIONS.glob("*.sql")), first)
                migrator = databases.url_of(MIGRATOR_ROLES[service.SCHEMA])
                serving = databases.url_of(SERVING_ROLES[service.SCHEMA])
                await migrations.provision(databases.admin_url, service.SCHEMA, migrator, serving)
                await migrations.migrate(migrator, service.SCHEMA, first)
    write_first_access_file(old / "access.yaml", "ada")
    flowpin("backup", str(tmp_path / "backup"), "--data", str(old))

    restored = flowpin("restore", str(tmp_path / "backup"), "--data", str(tmp_path / "new"))

    assert restored.returncode == 0, restored.stderr
    with locked(tmp_path / "new") as folder:
        async with postgres_alone(folder) as databases:
            db = await asyncpg.connect(databases.admin_url)
            found = [
                await db.fetchval(f"SELECT max(version) FROM {service.SCHEMA}.schema_migrations")
                for service in (workflow_service, deploy_service)
            ]
            await db.close()
    assert found == [migrations.newest(service.MIGRATIONS) for service in (workflow_service, deploy_service)]


async def test_a_backup_contains_the_runs_of_apps(tmp_path):
    services = (workflow_service, deploy_service, run_service)
    runs = [(uuid4(), uuid4()) for _ in range(3)]
    with locked(tmp_path / "old") as folder:
        async with postgres_alone(folder) as databases:
            for service in services:
                urls = [databases.url_of(roles[service.SCHEMA]) for roles in (MIGRATOR_ROLES, SERVING_ROLES)]
                await migrations.provision(databases.admin_url, service.SCHEMA, *urls)
                await migrations.migrate(urls[0], service.SCHEMA, service.MIGRATIONS)
            db = await asyncpg.connect(databases.url_of(SERVING_ROLES["run"]))
            insert = (
                "INSERT INTO run.runs (project_id, id, status, is_stream, started_at) VALUES ($1, $2, $3, true, now())"
            )
            await db.executemany(insert, [(*ids, "created") for ids in runs])
            await db.close()
    write_first_access_file(tmp_path / "old" / "access.yaml", "ada")
    backed_up = flowpin("backup", str(tmp_path / "backup"), "--data", str(tmp_path / "old"))

    restored = flowpin("restore", str(tmp_path / "backup"), "--data", str(tmp_path / "new"))

    assert (backed_up.returncode, restored.returncode) == (0, 0), (backed_up.stderr, restored.stderr)
    assert "  ✓ Verified. 28 checks in" in restored.stdout
    with locked(tmp_path / "new") as folder:
        async with postgres_alone(folder) as databases:
            db = await asyncpg.connect(databases.url_of(SERVING_ROLES["run"]))
            assert {tuple(row) for row in await db.fetch("SELECT project_id, id FROM run.runs")} == set(runs)
            await db.close()


async def test_backups_under_load_contain_every_version_that_a_deployment_pins(
    life: Life, tcp_postgres: TcpPostgres, tmp_path: Path
):
    admin = await asyncpg.connect(tcp_postgres.url())
    with writing(life.as_("admin")):
        for name in ("one", "two"):
            words = ("backup", str(tmp_path / name), "--data", str(life.up.data))
            assert (await asyncio.to_thread(flowpin, *words)).returncode == 0

    deployments = []
    for name in ("one", "two"):
        await admin.execute(f"CREATE DATABASE {name}")
        url = ("--database-url", tcp_postgres.url(name))
        restored = flowpin("restore", str(tmp_path / name), "--data", str(tmp_path / f"{name}.data"), *url)
        assert restored.returncode == 0, restored.stderr
        refused = flowpin("restore", str(tmp_path / name), "--data", str(tmp_path / f"{name}.data"), *url)
        assert "is not empty: its schema workflow has" in refused.stderr
        db = await asyncpg.connect(tcp_postgres.url(name))
        assert await db.fetchval(UNPINNED) == 0
        assert await db.fetchval(MISCOUNTED) == 0
        deployments.append(await db.fetchval("SELECT count(*) FROM deploy.deployments"))
        await db.close()
    await admin.close()
    assert deployments[0] < deployments[1]


async def test_a_restore_that_fails_in_the_database_leaves_it_empty_and_can_be_repeated(
    life: Life, tcp_postgres: TcpPostgres, tmp_path: Path
):
    words = ("restore", str(life.backup), "--data", str(tmp_path), "--database-url", tcp_postgres.url())
    db = await asyncpg.connect(tcp_postgres.url())
    await db.execute(REFUSING)
    refused = flowpin(*words)
    left = await db.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname IN ('workflow', 'deploy')")
    await db.execute("DROP EVENT TRIGGER refusing")
    await db.close()

    again = flowpin(*words)

    assert refused.returncode == 1
    assert "refused: no more indexes" in refused.stderr
    assert left == 0
    assert again.returncode == 0, again.stderr
