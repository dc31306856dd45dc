"""A forged backup is refused with one message, without running anything in it or leaving anything behind."""

import asyncio
import hashlib
import json
import os
import shutil
import struct
import subprocess
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import deploy_service
import workflow_service
from flowpin_cli.backup.archive import reading
from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import locked
from flowpin_cli.postgres.alone import postgres_alone
from flowpin_cli.postgres.install import client_programs
from flowpin_cli.postgres.passwords import MIGRATOR_ROLES, SERVING_ROLES
from service_kit import migrations
from service_kit.access.tokens import write_first_access_file
from service_kit.ids import new_id
from tests.support.backups import structure
from tests.support.marks import first_in_ci
from tests.support.tcp_postgres import TcpPostgres
from tests.support.up_process import flowpin

pytestmark = pytest.mark.slow

MARKER = "/tmp/flowpin-test-code-of-a-backup-ran"
SERVICES = (workflow_service, deploy_service)
EVIL = f"""
    CREATE FUNCTION %s RETURNS %s LANGUAGE plpgsql AS $$
    BEGIN COPY (SELECT 1) TO PROGRAM 'touch {MARKER}'; %s END $$;
"""
NOTE = "N" * 400


@dataclass
class Attacker:
    """A Postgres with both schemas, in which the attacker is superuser, and an honest backup of it."""

    url: str
    backup: Path

    async def dump(self, sql: str, *words: str) -> bytes:
        """The output of pg_dump for a copy of the database in which `sql` was run."""
        name = f"evil_{new_id().hex}"
        await self._run("flowpin", f"CREATE DATABASE {name} TEMPLATE flowpin")
        await self._run(name, sql)
        schemas = words or ("--schema=workflow", "--schema=deploy")
        command = [client_programs() / "pg_dump", "--format=custom", "--compress=none", *schemas, self._at(name)]
        return (await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)).stdout

    async def _run(self, database: str, sql: str) -> None:
        db = await asyncpg.connect(self._at(database))
        try:
            await db.execute(sql)
        finally:
            await db.close()

    def _at(self, database: str) -> str:
        return self.url.replace("/flowpin?", f"/{database}?")

    def forged(self, target: Path, dump: bytes | None = None, rows: dict[str, int] | None = None) -> Path:
        """The honest backup with another dump and a matching manifest."""
        files = contents(self.backup)
        files["database.dump"] = dump if dump is not None else files["database.dump"]
        return packed(target, files, rows=json.loads(files["manifest.json"])["rows"] | (rows or {}))


def contents(backup: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(backup) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(target: Path, files: dict[str, bytes], **changes: Any) -> Path:
    """A backup of these files. Its manifest describes them, except for `changes`."""
    manifest = json.loads(files["manifest.json"])
    manifest["files"] = {
        name: {"bytes": len(files[name]), "sha256": hashlib.sha256(files[name]).hexdigest()}
        for name in ("database.dump", "access.yaml")
    }
    files = files | {"manifest.json": json.dumps(manifest | changes).encode()}
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target


@pytest.fixture(scope="module")
async def attacker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Attacker]:
    folder = tmp_path_factory.mktemp("attacker")
    with locked(folder / "data") as data:
        async with postgres_alone(data) as databases:
            for service in SERVICES:
                migrator = databases.url_of(MIGRATOR_ROLES[service.SCHEMA])
                serving = databases.url_of(SERVING_ROLES[service.SCHEMA])
                await migrations.provision(databases.admin_url, service.SCHEMA, migrator, serving)
                await migrations.migrate(migrator, service.SCHEMA, service.MIGRATIONS)
            db = await asyncpg.connect(databases.admin_url)
            await db.execute(
                """
                INSERT INTO workflow.workflows (project_id, id, name, description, created_by, updated_by)
                VALUES ($1, $1, 'kept', $2, $1, $1)
                """,
                new_id(),
                NOTE,
            )
            await db.close()
            write_first_access_file(data.access_file, "mallory")
            url = ("--database-url", databases.admin_url)
            made = flowpin("backup", str(folder / "honest"), "--data", str(data.path), *url)
            assert made.returncode == 0, made.stderr
            yield Attacker(databases.admin_url, folder / "honest")


@pytest.fixture(autouse=True)
def marker() -> None:
    with suppress(FileNotFoundError):
        Path(MARKER).unlink()


def restored(backup: Path, data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return flowpin("restore", str(backup), "--data", str(data), *words)


def assert_refused(backup: Path, data: Path, says: str) -> None:
    refused = restored(backup, data)

    assert not has_run()
    assert refused.returncode == 1, refused.stdout
    assert says in refused.stderr
    assert refused.stderr.startswith("flowpin: ")
    assert refused.stderr.count("\n") == 1
    assert not (data / "postgres").exists()
    assert not (data / "access.yaml").exists()
    assert not (data / "restore.unfinished").exists()


OBJECTS = {
    "a function": (EVIL % ("workflow.evil()", "int", "RETURN 1;"), "FUNCTION workflow evil()"),
    "a procedure": ("CREATE PROCEDURE workflow.p() LANGUAGE sql AS 'SELECT 1'", "PROCEDURE workflow p()"),
    "a view": ("CREATE VIEW workflow.v AS SELECT lo_create(0)", "VIEW workflow v"),
    "a materialized view": (
        EVIL % ("workflow.evil()", "int", "RETURN 1;")
        + "CREATE MATERIALIZED VIEW workflow.m AS SELECT workflow.evil() WITH NO DATA",
        "MATERIALIZED VIEW workflow m",
    ),
    "a trigger": (
        "CREATE TRIGGER t BEFORE INSERT ON workflow.workflows FOR EACH ROW "
        "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "TRIGGER workflow workflows t",
    ),
    "a rule": (
        "CREATE RULE r AS ON INSERT TO workflow.workflows DO ALSO SELECT lo_create(0)",
        "RULE workflow workflows r",
    ),
    "an index on an expression": (
        "CREATE INDEX i ON workflow.workflows (lower(name))",
        "INDEX workflow i",
    ),
    "a constraint": (
        "ALTER TABLE workflow.workflows ADD CONSTRAINT c UNIQUE (name)",
        "CONSTRAINT workflow workflows c",
    ),
    "a table": ("CREATE TABLE workflow.t (a int)", "TABLE workflow t"),
    "a foreign table": (
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; "
        "CREATE FOREIGN TABLE workflow.f (a int) SERVER s",
        "FOREIGN TABLE workflow f",
    ),
    "a sequence": ("CREATE SEQUENCE workflow.s", "SEQUENCE workflow s"),
    "a type": ("CREATE TYPE workflow.ty AS ENUM ('a')", "TYPE workflow ty"),
    "a domain": ("CREATE DOMAIN workflow.d AS int", "DOMAIN workflow d"),
    "an operator": (
        "CREATE OPERATOR workflow.+ (FUNCTION = int4pl, LEFTARG = int4, RIGHTARG = int4)",
        "OPERATOR workflow +",
    ),
    "an aggregate": (
        "CREATE AGGREGATE workflow.a (int) (SFUNC = int4pl, STYPE = int4)",
        "AGGREGATE workflow a(integer)",
    ),
    "a policy": (
        "ALTER TABLE workflow.workflows ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON workflow.workflows",
        "ROW SECURITY workflow workflows",
    ),
    "a comment": ("COMMENT ON TABLE workflow.workflows IS 'x'", "COMMENT workflow TABLE workflows"),
    "default rights": (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA workflow GRANT ALL ON TABLES TO PUBLIC",
        "DEFAULT ACL workflow DEFAULT PRIVILEGES FOR TABLES",
    ),
    "statistics": ("CREATE STATISTICS workflow.st ON id, name FROM workflow.workflows", "STATISTICS workflow st"),
    "a name with a newline and terminal codes": (
        'CREATE TABLE workflow."t\n\x1b[31m" (a int)',
        "TABLE workflow t \N{REPLACEMENT CHARACTER}[31m",
    ),
}
"""What the attacker adds to the schemas, and its name in the refusal."""
OUTSIDE = {
    "an event trigger": (
        EVIL % ("evil()", "event_trigger", "") + "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION evil()",
        "FUNCTION public evil()",
    ),
    "an extension": ("CREATE EXTENSION citext", "EXTENSION - citext"),
    "another schema": ("CREATE SCHEMA evil; CREATE TABLE evil.t (a int)", "SCHEMA - evil"),
    "a large object": ("SELECT lo_create(4242)", "BLOB METADATA - 4242"),
    "a publication": ("CREATE PUBLICATION p", "PUBLICATION - p"),
    "a cast": ("CREATE CAST (text AS uuid) WITH INOUT", "CAST - CAST (text AS uuid)"),
}
"""What the attacker adds outside of the schemas, in a dump of the whole database."""


@pytest.mark.parametrize("kind", first_in_ci(OBJECTS))
async def test_a_backup_with_an_object_that_no_migration_creates_is_refused(
    attacker: Attacker, tmp_path: Path, kind: str
):
    sql, named = OBJECTS[kind]
    backup = attacker.forged(tmp_path / "backup", await attacker.dump(sql))

    assert_refused(backup, tmp_path / "data", "contains objects that are not Flowpin's, and nothing was restored: ")

    assert named in restored(backup, tmp_path / "data").stderr


@pytest.mark.parametrize("kind", first_in_ci(OUTSIDE))
async def test_a_backup_with_an_object_outside_of_the_schemas_is_refused(attacker: Attacker, tmp_path: Path, kind: str):
    sql, named = OUTSIDE[kind]
    backup = attacker.forged(tmp_path / "backup", await attacker.dump(sql, "--create"))

    assert_refused(backup, tmp_path / "data", named)


async def test_a_backup_command_warns_about_objects_that_a_restore_refuses(attacker: Attacker, tmp_path: Path):
    await attacker._run("flowpin", "CREATE INDEX an_index_of_mine ON workflow.workflows (name)")

    write_first_access_file(tmp_path / "access.yaml", "ada")
    made = flowpin("backup", str(tmp_path / "b"), "--data", str(tmp_path), "--database-url", attacker.url)

    await attacker._run("flowpin", "DROP INDEX workflow.an_index_of_mine")
    assert made.returncode == 0, made.stderr
    assert "which a restore refuses: INDEX workflow an_index_of_mine." in made.stdout


TWISTED = f"""
    ALTER TABLE workflow.workflows ALTER COLUMN description SET DEFAULT lo_create(0)::text;
    ALTER TABLE workflow.workflows DROP CONSTRAINT workflows_name_is_slug;
    ALTER TABLE workflow.workflows ADD CONSTRAINT workflows_name_is_slug CHECK (lo_create(0) > 0) NOT VALID;
    CREATE OR REPLACE FUNCTION workflow.mark_hidden_version() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN COPY (SELECT 1) TO PROGRAM 'touch {MARKER}'; RETURN NULL; END $$;
    ALTER FUNCTION workflow.mark_hidden_version() OWNER TO postgres;
    DROP TRIGGER versions_mark_hidden ON workflow.versions;
    CREATE TRIGGER versions_mark_hidden BEFORE INSERT ON workflow.workflows
    FOR EACH ROW EXECUTE FUNCTION workflow.mark_hidden_version();
    ALTER TABLE workflow.versions OWNER TO postgres;
    ALTER SCHEMA workflow OWNER TO postgres;
    GRANT ALL ON SCHEMA workflow, deploy TO PUBLIC;
    GRANT ALL ON ALL TABLES IN SCHEMA workflow TO PUBLIC;
    GRANT UPDATE (flow) ON workflow.versions TO flowpin_workflow;
    DROP INDEX workflow.versions_digest_idx;
    CREATE INDEX versions_digest_idx ON workflow.versions (lower(description));
"""


def has_run() -> bool:
    return Path(MARKER).exists()


async def test_a_restore_takes_only_rows_from_a_backup_with_changed_definitions(attacker: Attacker, tmp_path: Path):
    dump = await attacker.dump(TWISTED)
    honest, forged = tmp_path / "honest", tmp_path / "forged"

    assert restored(attacker.backup, honest).returncode == 0
    done = restored(attacker.forged(tmp_path / "backup", dump), forged)

    assert done.returncode == 0, done.stderr
    assert not has_run()
    assert await dumped_alone(forged) == await dumped_alone(honest)


async def dumped_alone(data: Path) -> str:
    with locked(data) as folder:
        async with postgres_alone(folder) as databases:
            return structure(databases.admin_url)


def swapped(dump: bytes, old: bytes, new: bytes) -> bytes:
    """The dump with one string replaced by another of the same length, so the rest stays readable."""
    assert dump.count(old) >= 1, old
    return dump.replace(old, new.ljust(len(old)), 1)


SQL = f"COPY (SELECT 1) TO PROGRAM 'touch {MARKER}';"


async def test_sql_in_a_dumps_settings_is_not_run(attacker: Attacker, tmp_path: Path):
    old = b"SELECT pg_catalog.set_config('search_path', '', false);\n"
    dump = swapped(await attacker.dump("SELECT 1"), old, f"\\! touch {MARKER}\n".encode())

    done = restored(attacker.forged(tmp_path / "backup", dump), tmp_path / "data")

    assert not has_run()
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "statement",
    first_in_ci(
        [
            f"{SQL}\n",
            f"\\! touch {MARKER}\n",
            "COPY pg_catalog.pg_authid (oid) FROM stdin;\n",
            "COPY workflow.schema_migrations (version) FROM stdin;\n",
            f"COPY workflow.workflows FROM PROGRAM 'touch {MARKER}';\n",
            "COPY workflow.workflows (no_such_column) FROM stdin;\n",
            'COPY workflow.workflows (id", name) FROM stdin;\n',
        ]
    ),
)
async def test_sql_in_place_of_a_dumps_copy_statement_is_not_run(attacker: Attacker, tmp_path: Path, statement: str):
    dump = await attacker.dump("SELECT 1")
    begin = dump.index(b"COPY workflow.workflows (")
    copy = dump[begin : dump.index(b";\n", begin) + 2]

    backup = attacker.forged(tmp_path / "backup", swapped(dump, copy, statement.encode()))

    assert_refused(backup, tmp_path / "data", "")


@pytest.mark.parametrize(
    "line",
    first_in_ci(
        [
            SQL,
            f"\\! touch {MARKER}",
            f"\\copy (SELECT 1) TO PROGRAM 'touch {MARKER}'",
            f"COPY workflow.workflows FROM PROGRAM 'touch {MARKER}';",
            "COPY workflow.schema_migrations (version) FROM stdin;\n9999\n\\.",
            "COPY pg_catalog.pg_authid (oid) FROM stdin;\n1\n\\.",
        ]
    ),
)
async def test_sql_after_a_forged_end_of_rows_is_not_run(attacker: Attacker, tmp_path: Path, line: str):
    # `\.` ends the rows for a reader of the script. The attacker's statement follows it.
    dump = swapped(await attacker.dump("SELECT 1"), NOTE.encode(), b"\n\\.\n" + line.encode() + b"\n")

    backup = attacker.forged(tmp_path / "backup", dump)

    assert_refused(backup, tmp_path / "data", "")


async def test_a_backup_with_an_unknown_column_is_refused(attacker: Attacker, tmp_path: Path):
    dump = await attacker.dump("ALTER TABLE workflow.workflows ADD COLUMN more text DEFAULT lo_create(0)::text")

    assert_refused(attacker.forged(tmp_path / "backup", dump), tmp_path / "data", 'column "more" of relation')


async def test_a_backup_with_rows_that_violate_a_constraint_is_refused_without_showing_them(
    attacker: Attacker, tmp_path: Path
):
    dump = swapped(await attacker.dump("SELECT 1"), b"\tkept\t", b"\tKEPT\t")

    assert_refused(
        attacker.forged(tmp_path / "backup", dump),
        tmp_path / "data",
        'violates check constraint "workflows_name_is_slug"',
    )


async def test_a_backup_whose_rows_do_not_match_its_manifest_is_refused(attacker: Attacker, tmp_path: Path):
    backup = attacker.forged(tmp_path / "backup", rows={"workflow.workflows": 2})

    assert_refused(backup, tmp_path / "data", "do not match its manifest")


async def test_a_restore_loads_rows_as_the_owner_of_the_tables_not_as_superuser(
    attacker: Attacker, tcp_postgres: TcpPostgres, tmp_path: Path
):
    db = await asyncpg.connect(tcp_postgres.url())
    await db.execute("CREATE ROLE flowpin_workflow_migrator NOLOGIN")

    refused = restored(attacker.backup, tmp_path / "data", "--database-url", tcp_postgres.url())

    left = await db.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname IN ('workflow', 'deploy')")
    await db.close()
    assert 'role "flowpin_workflow_migrator" is not permitted to log in' in refused.stderr
    assert left == 0


def header(dump: bytes) -> int:
    """Where the entries begin: after the header and their number."""
    return dump.index(b"ENCODING")


DUMPS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "an empty dump": (lambda _: b"", "pg_restore ended with exit code 1"),
    "SQL": (lambda _: f"{SQL}\n\\! touch {MARKER}\n".encode(), "pg_restore ended with exit code 1"),
    "an archive of another format": (lambda _: b"toc.dat".ljust(512, b"\0") * 4, "pg_restore ended with exit code 1"),
    "a truncated dump": (lambda dump: dump[: len(dump) // 2], "pg_restore ended with exit code 1"),
    "a dump that ends within its rows": (lambda dump: dump[:-40], "rows have no end"),
    "a string of two gigabytes": (
        lambda dump: dump[: header(dump) - 5] + b"\0" + struct.pack("<i", 2_000_000_000) + dump[header(dump) :],
        "out of memory",
    ),
    "random bytes": (lambda dump: dump[:11] + hashlib.shake_128(b"random").digest(100_000), ""),
}


@pytest.mark.parametrize("kind", first_in_ci(DUMPS))
async def test_a_malformed_dump_is_refused(attacker: Attacker, tmp_path: Path, kind: str):
    make, says = DUMPS[kind]
    dump = make(await attacker.dump("SELECT 1"))

    assert_refused(attacker.forged(tmp_path / "backup", dump), tmp_path / "data", says)


def as_zip(target: Path, files: list[tuple[str | zipfile.ZipInfo, bytes]], **options: Any) -> Path:
    with zipfile.ZipFile(target, "w", **options) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return target


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info


def many_entries(honest: Path, target: Path) -> None:
    as_zip(target, [*contents(honest).items(), *((str(number), b"") for number in range(30_000))])


def encrypted(honest: Path, target: Path) -> None:
    content = bytearray(honest.read_bytes())
    for signature, at in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        content[content.index(signature) + at] |= 1
    target.write_bytes(content)


def changed(**changes: Any) -> Callable[[Path, Path], object]:
    return lambda honest, target: packed(target, contents(honest), **changes)


def manifest_text(text: bytes) -> Callable[[Path, Path], object]:
    return lambda honest, target: as_zip(target, [*(contents(honest) | {"manifest.json": text}).items()])


FILES: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "an additional file": (lambda honest, to: as_zip(to, [*contents(honest).items(), ("x", b"")]), "once each"),
    "a file above the folder": (
        lambda honest, to: as_zip(to, [*contents(honest).items(), ("../../evil", b"")]),
        "once each",
    ),
    "a file with an absolute path": (
        lambda honest, to: as_zip(to, [*contents(honest).items(), ("/tmp/evil", b"")]),
        "once each",
    ),
    "a symbolic link": (
        lambda honest, to: as_zip(to, [*contents(honest).items(), (link("l"), b"/etc/passwd")]),
        "once each",
    ),
    "a duplicated file": (
        lambda honest, to: as_zip(to, [*contents(honest).items(), ("database.dump", b"x")]),
        "once each",
    ),
    "a missing file": (
        lambda honest, to: as_zip(to, [item for item in contents(honest).items() if item[0] != "access.yaml"]),
        "once each",
    ),
    "very many files": (many_entries, "its directory is too large"),
    "compressed files": (
        lambda honest, to: as_zip(to, [*contents(honest).items()], compression=zipfile.ZIP_DEFLATED),
        "compressed or encrypted",
    ),
    "an encrypted file": (encrypted, "compressed or encrypted"),
    "a folder": (lambda _, to: to.mkdir(), "Is a directory"),
    "a large access file": (
        lambda honest, to: packed(to, contents(honest) | {"access.yaml": b"#" * (17 << 20)}),
        "is larger than 16 MiB",
    ),
    "an access file that is not text": (
        lambda honest, to: packed(to, contents(honest) | {"access.yaml": b"\xff"}),
        "is not a backup, or is damaged",
    ),
    "a manifest that is too large": (manifest_text(b" " * (2 << 20) + b"{}"), "no manifest.json that can be read"),
    "a deeply nested manifest": (manifest_text(b"[" * 100_000), "no manifest.json that can be read"),
    "a manifest with a long number": (
        manifest_text(b'{"format": %s}' % (b"9" * 10_000)),
        "no manifest.json that can be read",
    ),
    "a version with terminal codes": (changed(flowpin="\x1b[2J", format=9), "no manifest.json that can be read"),
    "a migration with terminal codes": (
        changed(migrations={"workflow": ["\x1b[2J"], "deploy": []}),
        "no manifest.json that can be read",
    ),
    "no migrations": (changed(migrations={}), "the first migrations are missing"),
    "a missing migration": (
        changed(migrations={"workflow": ["0001", "0003"], "deploy": ["0001"]}),
        "the first migrations are missing",
    ),
    "migrations in another order": (
        changed(migrations={"workflow": ["0002", "0001"], "deploy": ["0001"]}),
        "the first migrations are missing",
    ),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", first_in_ci(FILES))
def test_a_malformed_backup_file_is_refused(attacker: Attacker, tmp_path: Path, kind: str):
    make, says = FILES[kind]
    make(attacker.backup, tmp_path / "backup")

    assert_refused(tmp_path / "backup", tmp_path / "data", says)

    assert not (tmp_path / "data").exists()


def with_checksum_of(old: bytes, new: bytes) -> bytes:
    """`new` with its last four bytes chosen so that it has the CRC-32 of `old`. CRC-32 is linear."""
    zeros = zlib.crc32(new[:-4] + bytes(4))
    rows = {bit: zlib.crc32(new[:-4] + (1 << bit).to_bytes(4, "little")) ^ zeros for bit in range(32)}
    wanted, chosen = zlib.crc32(old) ^ zeros, 0
    basis: dict[int, tuple[int, int]] = {}
    for bit, effect in rows.items():
        bits = 1 << bit
        while effect and effect.bit_length() in basis:
            more, with_bits = basis[effect.bit_length()]
            effect, bits = effect ^ more, bits ^ with_bits
        basis[effect.bit_length()] = (effect, bits)
    while wanted:
        effect, bits = basis[wanted.bit_length()]
        wanted, chosen = wanted ^ effect, chosen ^ bits
    return new[:-4] + chosen.to_bytes(4, "little")


@pytest.mark.parametrize("knows_checksum", [False, True])
def test_a_backup_file_that_changes_after_its_check_is_refused(
    attacker: Attacker, tmp_path: Path, knows_checksum: bool
):
    backup = Path(shutil.copy(attacker.backup, tmp_path / "backup"))
    old = contents(backup)["database.dump"]
    new = swapped(old, b"workflow_migrator", b"workflow_migratoR")
    if knows_checksum:
        new = with_checksum_of(old, new)

    with reading(backup) as checked:
        at = backup.read_bytes().index(old)
        with backup.open("r+b") as file:
            file.seek(at)
            file.write(new)
        with pytest.raises(CannotRun), checked.copy_of_dump(tmp_path):
            pass


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    (tmp_path / "disk").mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=420m,mode=0700", "none", tmp_path / "disk"]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield tmp_path / "disk"
    subprocess.run(["umount", tmp_path / "disk"], check=True)


async def test_a_small_backup_with_huge_rows_does_not_fill_the_disk(
    attacker: Attacker, tmp_path: Path, small_disk: Path
):
    bomb = """
        INSERT INTO workflow.workflows (project_id, id, name, description, created_by, updated_by)
        SELECT id, gen_random_uuid(), 'bomb', '', id, id FROM workflow.workflows, generate_series(1, 300);
        INSERT INTO workflow.drafts SELECT project_id, id, f, 'null'
        FROM workflow.workflows, (SELECT ('"' || repeat('x', 1000000) || '"')::json AS f) AS flow WHERE name = 'bomb';
    """
    dump = await attacker.dump(bomb, "--schema=workflow", "--schema=deploy", "--compress=gzip:9")
    assert len(dump) < 2_000_000

    backup = attacker.forged(tmp_path / "backup", dump, {"workflow.workflows": 301, "workflow.drafts": 300})

    assert_refused(backup, small_disk / "data", "has no space for the backup's rows")
    assert shutil.disk_usage(small_disk).free > 400 << 20
