"""Checks of the database: version, migrations, roles, clock, connections."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import asyncpg

from flowpin_cli.doctor.finding import Finding, ok, problem, unchecked, warning
from flowpin_cli.postgres import catalog
from flowpin_cli.postgres.schemas import Schema
from flowpin_cli.postgres.urls import OLDEST_SERVER, url_without_password
from flowpin_cli.terminal import counted
from service_kit.db import Connection

ANSWER_SECONDS = 10.0
CLOCK_SECONDS = 2.0
MANY_CONNECTIONS = 0.8


async def examine(url: str | None, schemas: Sequence[Schema]) -> AsyncIterator[Finding]:
    """Check the database. `url` is that of an administrator, or None if no database is running."""
    if url is None:
        yield unchecked(
            "No Postgres of this folder runs: its migrations, roles and clock were not checked",
            "flowpin doctor while `flowpin up` runs, or with --database-url for your own database",
        )
        return
    shown = url_without_password(url)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            db = await asyncpg.connect(url)
            try:
                for finding in await _examine(db, schemas):
                    yield finding
            finally:
                await db.close()
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
        said = "it is not a database URL" if isinstance(error, ValueError) else str(error) or type(error).__name__
        yield problem(
            f"The database {shown} could not be asked: {said}", "check that it runs and that the URL is right"
        )


async def _examine(db: Connection, schemas: Sequence[Schema]) -> list[Finding]:
    findings = [_version(await db.fetchval("SHOW server_version"), db.get_server_version().major)]
    for schema in schemas:
        applied = await catalog.applied_migrations(db, schema.name)
        findings += _migrations(schema, applied)
        if applied:
            findings += _roles(schema, await catalog.role_problems(db, schema.name))
    findings.append(_clock((await catalog.clock_difference(db)).total_seconds()))
    findings.append(_connections(*await catalog.connections(db)))
    return findings


def _version(server: str, major: int) -> Finding:
    if major < OLDEST_SERVER:
        return problem(f"The server is Postgres {server}", f"Flowpin needs {OLDEST_SERVER} or newer")
    return ok(f"The server is Postgres {server}")


def _migrations(schema: Schema, applied: Sequence[str]) -> list[Finding]:
    migrate = f"python -m {schema.name}_service migrate, or restart `flowpin up`, which does that"
    if missing := schema.missing(applied):
        return [problem(f"The schema {schema.name} is older than the code. Missing: {', '.join(missing)}", migrate)]
    if unknown := schema.unknown(applied):
        return [
            warning(
                f"The schema {schema.name} is newer than the code: {', '.join(unknown)}",
                "install the Flowpin that migrated it; one release before also works",
            )
        ]
    return [
        ok(f"The schema {schema.name} is the code's: {counted(len(applied), 'migration')}, the last is {applied[-1]}")
    ]


def _roles(schema: Schema, problems: Sequence[str]) -> list[Finding]:
    mend = "remove that right (REVOKE), and find out who granted it: the migrations create the roles"
    if not problems:
        return [ok(f"The roles of {schema.name} have the rights that they need and cannot change saved data")]
    return [problem(f"Roles of {schema.name}: {problem_}", mend) for problem_ in problems]


def _clock(seconds: float) -> Finding:
    if abs(seconds) > CLOCK_SECONDS:
        return warning(
            f"The database's clock is {abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} this machine's",
            "set both by NTP (timedatectl): tokens expire by this machine's clock, the history has the database's",
        )
    return ok(f"The database's clock and this machine's differ by {abs(seconds) * 1000:.0f} ms")


def _connections(used: int, allowed: int) -> Finding:
    said = f"{used} of {allowed} connections are in use"
    if used > allowed * MANY_CONNECTIONS:
        return warning(said, "raise max_connections, or lower *_POOL_SIZE")
    return ok(said)
