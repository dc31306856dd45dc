"""Reads Postgres' catalogs: tables, migrations, row counts, and the rights of roles."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # not service_kit.db, because it imports gRPC, which the process of `flowpin up` must not do
    from service_kit.db import Connection
from flowpin_cli.postgres.passwords import MIGRATOR_ROLES, SERVING_ROLES

AUDITED = ("action", "target_id", "actor_id", "details", "created_at")
FROZEN: Mapping[str, Mapping[str, Sequence[str]]] = {
    "workflow": {
        "versions": ("id", "number", "digest", "canvas_digest", "flow", "flow_ui"),
        "audit_events": AUDITED,
    },
    "deploy": {
        "audit_events": AUDITED,
        "flows": ("digest", "flow"),
        "loadables": ("digest", "document"),
        "deployments": (
            *("id", "number", "version_id", "version_digest"),
            *("loadable_digest", "runtime_id", "runtime_digest", "config"),
        ),
        "runtime_locks": ("digest", "lock"),
    },
    "run": {"runs": ("id", "app_id", "deployment_id", "version_id", "started_at")},
}
"""Columns that no serving role may update, and whose rows it may not delete: versions, pins of deployments, audit
events, runs."""
TIMEOUTS = ["statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout"]


async def tables(db: "Connection", schema: str) -> list[str]:
    """The names of the schema's tables. Empty if the schema does not exist."""
    rows = await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1 ORDER BY tablename", schema)
    return [row["tablename"] for row in rows]


async def applied_migrations(db: "Connection", schema: str) -> list[str]:
    """The migrations that have run, oldest first. Empty if the schema does not exist."""
    if "schema_migrations" not in await tables(db, schema):
        return []
    rows = await db.fetch(f"SELECT version FROM {_quoted(schema)}.schema_migrations ORDER BY version")  # noqa: S608
    return [row["version"] for row in rows]


async def row_counts(db: "Connection", schemas: Iterable[str]) -> dict[str, int]:
    """Row counts by `schema.table`."""
    counts = {}
    for schema in schemas:
        for table in await tables(db, schema):
            count = await db.fetchval(f"SELECT count(*) FROM {_quoted(schema)}.{_quoted(table)}")  # noqa: S608
            counts[f"{schema}.{table}"] = int(count)
    return counts


async def tables_by_reference(db: "Connection", schema: str) -> list[str]:
    """The names of the schema's tables, each after the tables that its foreign keys refer to."""
    rows = await db.fetch(
        """
        SELECT referring.relname AS referring, referred.relname AS referred
        FROM pg_constraint JOIN pg_class referring ON referring.oid = conrelid
        JOIN pg_class referred ON referred.oid = confrelid
        WHERE contype = 'f' AND connamespace = $1::regnamespace AND conrelid <> confrelid
        """,
        schema,
    )
    order: TopologicalSorter[str] = TopologicalSorter({table: [] for table in await tables(db, schema)})
    for row in rows:
        order.add(row["referring"], row["referred"])
    return list(order.static_order())


async def begin_filling(db: "Connection", schema: str, into: Sequence[str]) -> None:
    """Empty the tables, in the caller's transaction. Until `end_filling`, triggers and timeouts are off."""
    names = [f"{_quoted(schema)}.{_quoted(table)}" for table in into]
    await db.execute(f"TRUNCATE {', '.join(names)}")
    for name in names:
        await db.execute(f"ALTER TABLE {name} DISABLE TRIGGER USER")
    await db.execute("SELECT set_config(name, '0', true) FROM pg_settings WHERE name = ANY($1)", TIMEOUTS)


async def end_filling(db: "Connection", schema: str, into: Sequence[str]) -> None:
    """Turn triggers on again, and set sequences to continue after the rows' numbers."""
    for table in into:
        await db.execute(f"ALTER TABLE {_quoted(schema)}.{_quoted(table)} ENABLE TRIGGER USER")
    for row in await db.fetch(_NUMBERED, schema):
        column, table = _quoted(row["column"]), f"{_quoted(schema)}.{_quoted(row['table'])}"
        await db.execute(
            f"SELECT setval($1::oid::regclass, max({column})) FROM {table} HAVING max({column}) IS NOT NULL",  # noqa: S608
            row["sequence"],
        )


_NUMBERED = """
    SELECT sequence.oid AS sequence, numbered.relname AS table, attname AS column
    FROM pg_depend JOIN pg_class sequence ON sequence.oid = objid JOIN pg_class numbered ON numbered.oid = refobjid
    JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
    WHERE sequence.relkind = 'S' AND deptype = 'a' AND numbered.relnamespace = $1::regnamespace
"""
"""Columns that own a sequence."""


async def analyze(db: "Connection", schemas: Iterable[str]) -> None:
    """Analyze the tables after they have been filled."""
    for schema in schemas:
        for table in await tables(db, schema):
            await db.execute(f"ANALYZE {_quoted(schema)}.{_quoted(table)}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


async def clock_difference(db: "Connection") -> timedelta:
    """How far the database's clock is ahead of this machine's, accurate to half a round trip."""
    before = datetime.now(UTC)
    theirs: datetime = await db.fetchval("SELECT clock_timestamp()")
    after = datetime.now(UTC)
    return theirs - (before + (after - before) / 2)


async def connections(db: "Connection") -> tuple[int, int]:
    """The number of connections, and its limit."""
    row = await db.fetchrow(
        "SELECT count(*) AS used, current_setting('max_connections')::int AS allowed FROM pg_stat_activity "
        "WHERE backend_type = 'client backend'"
    )
    return (row["used"], row["allowed"]) if row else (0, 0)


PRUNED = ("runs",)
"""Tables from which the service removes old rows. A trigger refuses to remove recent ones."""


async def role_problems(db: "Connection", service: str, schemas: Mapping[str, str] | None = None) -> list[str]:
    """The problems of a service's two roles, as sentences. `schemas` maps services to their schemas, if these have
    other names."""
    serving, migrator = SERVING_ROLES[service], MIGRATOR_ROLES[service]
    schemas = schemas or {name: name for name in FROZEN}
    rows = await db.fetch("SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname = ANY($1)", [serving, migrator])
    can_log_in = {row["rolname"]: row["rolcanlogin"] for row in rows}
    if missing := [role for role in (serving, migrator) if role not in can_log_in]:
        return [f"there is no role {role}" for role in missing]
    others = [schema for name, schema in schemas.items() if name != service]
    return [
        *(f"{role} may not log in" for role in can_log_in if not can_log_in[role]),
        *await _powers(db, serving),
        *await _foreign_rights(db, others, (serving, migrator)),
        *await _rewrites(db, FROZEN[service], schemas[service], serving),
        *await _missing_rights(db, schemas[service], serving),
    ]


async def _powers(db: "Connection", role: str) -> list[str]:
    rows = await db.fetch(
        """
        SELECT 'is a superuser' AS power FROM pg_roles WHERE rolname = $1 AND rolsuper
        UNION ALL SELECT 'may make roles' FROM pg_roles WHERE rolname = $1 AND rolcreaterole
        UNION ALL
        SELECT 'is a member of ' || granted.rolname
        FROM pg_auth_members JOIN pg_roles member ON member.oid = pg_auth_members.member
        JOIN pg_roles granted ON granted.oid = pg_auth_members.roleid WHERE member.rolname = $1
        UNION ALL
        SELECT 'owns the table ' || schemaname || '.' || tablename FROM pg_tables WHERE tableowner = $1
        """,
        role,
    )
    return [f"{role} {row['power']}" for row in rows]


async def _foreign_rights(db: "Connection", schemas: Sequence[str], roles: Sequence[str]) -> list[str]:
    rows = await db.fetch(
        """
        SELECT rolname, nspname FROM pg_roles, pg_namespace
        WHERE rolname = ANY($1) AND nspname = ANY($2) AND has_schema_privilege(rolname, pg_namespace.oid, 'USAGE')
        """,
        list(roles),
        list(schemas),
    )
    return [f"{row['rolname']} may look into the schema {row['nspname']}" for row in rows]


async def _rewrites(db: "Connection", frozen: Mapping[str, Sequence[str]], schema: str, role: str) -> list[str]:
    problems = []
    for table, columns in frozen.items():
        rows = await db.fetch(
            """
            SELECT verb || ' ' || relname AS what
            FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace, unnest($5::text[]) verb
            WHERE nspname = $2 AND relname = $3 AND has_table_privilege($1, pg_class.oid, verb)
            UNION ALL
            SELECT 'UPDATE ' || relname || '.' || attname
            FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace JOIN pg_attribute ON attrelid = pg_class.oid
            WHERE nspname = $2 AND relname = $3 AND attname = ANY($4)
              AND has_column_privilege($1, pg_class.oid, attnum, 'UPDATE')
            """,  # noqa: E501
            role,
            schema,
            table,
            list(columns),
            ["TRUNCATE"] if table in PRUNED else ["DELETE", "TRUNCATE"],
        )
        problems += [f"{role} may {row['what']}" for row in rows]
    return problems


async def _missing_rights(db: "Connection", schema: str, role: str) -> list[str]:
    if not await db.fetchval("SELECT has_schema_privilege($1, $2, 'USAGE')", role, schema):
        return [f"{role} may not use its schema {schema}"]
    if not await db.fetchval("SELECT has_table_privilege($1, $2 || '.schema_migrations', 'SELECT')", role, schema):
        return [f"{role} may not read {schema}.schema_migrations"]
    return []
