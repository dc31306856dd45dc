"""Reads and COPYs of a seed, for the services' tables."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

import asyncpg

from flowpin_cli.postgres import catalog
from flowpin_cli.seed.history import Record
from service_kit.db import Connection

_EVENT = (
    "project_id", "subject_id", "id", "action", "target_id", "actor_id", "actor_name", "token_id", "request_id",
    "details", "created_at",
)  # fmt: skip
COLUMNS: Mapping[tuple[str, str], Sequence[str]] = {
    ("workflow", "workflows"): (
        "project_id", "id", "name", "description", "version_count", "archived_count", "accepts_release", "revision",
        "created_at", "created_by", "updated_at", "updated_by",
    ),
    ("workflow", "versions"): (
        "project_id", "workflow_id", "number", "id", "description", "digest", "canvas_digest", "flow", "flow_ui",
        "created_at", "created_by", "created_by_name", "archived_at", "archived_by", "revision",
    ),
    ("workflow", "hidden_versions"): ("project_id", "workflow_id", "block", "archived"),
    ("workflow", "audit_events"): _EVENT,
    ("deploy", "apps"): (
        "project_id", "id", "name", "description", "access_type", "deployment_count", "created_at", "created_by",
        "updated_at", "updated_by",
    ),
    ("deploy", "deployments"): (
        "project_id", "app_id", "number", "id", "environment", "kind", "workflow_id", "workflow_name",
        "workflow_description", "version_id", "version_number", "version_description", "version_digest",
        "version_created_at", "runtime_id", "runtime_version", "runtime_label", "config", "warnings", "created_by",
        "created_by_name", "status", "started_at", "finished_at", "live_from", "live_to",
    ),
    ("deploy", "audit_events"): _EVENT,
}  # fmt: skip
"""Columns of each table, in the order of the records."""


async def append(db: Connection, schema: str, table: str, records: Iterable[Record]) -> None:
    await db.copy_records_to_table(table, schema_name=schema, columns=COLUMNS[schema, table], records=records)


async def keep_flows(db: Connection, flows: Iterable[Record]) -> None:
    """COPY the flows that deployments pin, each digest once."""
    await db.executemany(
        "INSERT INTO deploy.flows (project_id, digest, flow) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", flows
    )


async def default_runtime(db: Connection) -> Record:
    """The id, version and label of the default runtime."""
    row = await db.fetchrow("SELECT id, version, label FROM deploy.runtimes WHERE is_default")
    if row is None:
        raise LookupError("there is no default runtime")
    return tuple(row)


async def settle(db: Connection, schemas: Iterable[str]) -> None:
    """Vacuum and analyze now, because Postgres would do it later, during measurements."""
    for schema in schemas:
        for table in await catalog.tables(db, schema):
            await db.execute(f'VACUUM (ANALYZE) "{schema}"."{table}"')
    with suppress(asyncpg.InsufficientPrivilegeError):  # an administrator need not be a superuser
        await db.execute("CHECKPOINT")
