"""The cost of a million versions: disk space, write-ahead log, and the time of backup and restore."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.load.bench import database, tools
from tests.load.bench.context import Bench
from tests.load.bench.graphs import USUAL_BYTES
from tests.load.bench.request import post
from tests.load.bench.result import Row, Target
from tests.load.bench.seeds import MILLION, Seeds
from tests.load.bench.stack import running

TIMES_CONTENT = 1.35
"""Maximum storage of saves as a multiple of the saved bytes."""
LIMIT_SECONDS = 900.0
NAME = "A million versions"
OWN_TABLES = """
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind = 'r' AND nspname IN ('workflow', 'deploy')
"""


@dataclass(frozen=True, slots=True)
class Used:
    """Numbers of versions and bytes at one moment."""

    versions: int
    tables: int
    indexes: int
    log: int


def storage(bench: Bench, seeds: Seeds) -> list[Row]:
    """Measured on a separate, empty installation."""
    with running(bench.scratch / "storage") as stack:
        own = bench.on(stack)
        before, after = _save(own)
        Seeds(own).fill(100_000 if not bench.quick else 5_000, USUAL_BYTES)
        versions = used(stack.admin_url).versions
        backup = bench.scratch / "storage.backup"
        backup_seconds = _timed(bench, "backup", backup, stack.data)
    restore_seconds = _timed(bench, "restore", backup, bench.scratch / "storage-restored")
    scale = MILLION / versions
    note = f"of {versions:,} versions of about {USUAL_BYTES:,} bytes, times {scale:.1f}"
    return [
        *per_million(before, after, bench.content.size),
        Row(f"{NAME}: backup", value=scale * backup_seconds, unit="s", note=f"`flowpin backup` beside `up`, {note}"),
        Row(f"{NAME}: backup's size", value=scale * backup.stat().st_size / 1e9, unit="GB", note=note),
        Row(
            f"{NAME}: restore",
            value=scale * restore_seconds,
            unit="s",
            note=f"`flowpin restore` into an empty folder, from the check of the file to the last migration, {note}",
        ),
    ]


def used(admin_url: str) -> Used:
    return Used(
        versions=int(database.value(admin_url, "SELECT count(*) FROM workflow.versions")),
        tables=int(database.value(admin_url, f"SELECT sum(pg_table_size(pg_class.oid)) {OWN_TABLES}")),
        indexes=int(database.value(admin_url, f"SELECT sum(pg_indexes_size(pg_class.oid)) {OWN_TABLES}")),
        log=int(database.value(admin_url, "SELECT pg_current_wal_insert_lsn() - '0/0'")),
    )


def per_million(before: Used, after: Used, content_bytes: int) -> list[Row]:
    """The rows for the saves in between, of `content_bytes` each."""
    saved = after.versions - before.versions
    target = Target.at_most(TIMES_CONTENT * content_bytes * MILLION / 1e9, "GB")
    note = (
        f"of {saved:,} saves of {content_bytes:,} bytes, times {MILLION / saved:.1f}; "
        f"at most {TIMES_CONTENT} times what is saved"
    )

    def gigabytes(grown: int) -> float:
        return grown / saved * MILLION / 1e9

    tables, indexes = gigabytes(after.tables - before.tables), gigabytes(after.indexes - before.indexes)
    raw: Mapping[str, float] = {"tables_gb": tables, "indexes_gb": indexes}
    return [
        Row(
            f"{NAME}: tables and indexes",
            value=tables + indexes,
            target=target,
            note=f"{note}; {indexes:.2f} GB are indexes; audit events included",
            raw=raw,
        ),
        Row(
            f"{NAME}: log",
            value=gigabytes(after.log - before.log),
            target=target,
            note=f"Postgres' write-ahead log, from a checkpoint on, {note}",
        ),
    ]


def _save(bench: Bench) -> tuple[Used, Used]:
    """The usage before and after many saves."""
    admin_url, body = bench.stack.admin_url, bench.content.body
    saves = [post(f"{history.path}/save", body) for history in Seeds(bench).spread]
    database.execute(admin_url, "CHECKPOINT")
    before = used(admin_url)
    bench.rest(saves, bench.seconds(20, 2))
    return before, used(admin_url)


def _timed(bench: Bench, command: str, file: Path, data: Path) -> float:
    bench.say(f"  flowpin {command}")
    began = time.monotonic()
    tools.run([sys.executable, "-P", "-m", "flowpin_cli", command, file, "--data", data], LIMIT_SECONDS)
    return time.monotonic() - began
