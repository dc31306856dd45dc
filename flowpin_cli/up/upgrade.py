"""Verifies the history after an upgrade, if migrations have changed existing schemas."""

from pathlib import Path

import deploy_service
import workflow_service
from flowpin_cli.machine.processes import Command, last_lines, run_to_end
from flowpin_cli.postgres import catalog
from flowpin_cli.postgres.schemas import Schema
from flowpin_cli.postgres.urls import CONNECT_SECONDS, Databases

CANNOT_LOOK = 2
"""The exit code of `flowpin verify` when it could not run."""


async def is_upgrade(databases: Databases) -> bool:
    """Whether a schema exists and is older than the code. Call this before the migrations run."""
    import asyncpg

    try:
        db = await asyncpg.connect(databases.admin_url, timeout=CONNECT_SECONDS)
        try:
            for service in (workflow_service, deploy_service):
                applied = await catalog.applied_migrations(db, service.SCHEMA)
                if applied and Schema(service.SCHEMA, service.MIGRATIONS).missing(applied):
                    return True
        finally:
            await db.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False  # the migrations run next and report the problem
    return False


async def verified(command: Command, log: Path) -> str:
    """Run `flowpin verify` in a separate process, which may import gRPC, and return its result in one line."""
    code = await run_to_end(command, log)
    result = last_lines(log, 1)
    if code == 0:
        return f"  ✓ Verified after the upgrade. {result}"
    if code == CANNOT_LOOK:
        return f"  ! Not verified after the upgrade: {result}"
    return f"  ! Verified after the upgrade. {result} The findings are in {log}; all services run"
