"""Removes runs that ended long ago, in batches, while the service runs."""

import asyncio
import random

import asyncpg
import structlog

from run_service.repository import runs
from service_kit.database_errors import describe
from service_kit.db import FAILURES, Pool

PRUNE_SECONDS = 600.0
BATCH = 1000
"""Rows per batch. A batch takes a few milliseconds, so that it does not delay the writes of runs."""

log = structlog.get_logger()


async def prune(pool: Pool, kept_seconds: float, batch: int = BATCH) -> int:
    """Remove all runs that ended more than `kept_seconds` ago, `batch` rows per statement. Returns their number."""
    removed = 0
    while True:
        async with pool.acquire() as db:
            in_batch = await runs.delete_old_runs(db, kept_seconds, batch)
        removed += in_batch
        if in_batch < batch:
            return removed


async def prune_for_ever(pool: Pool, kept_seconds: float) -> None:
    """Prune now, and again about every PRUNE_SECONDS."""
    while True:
        try:
            if removed := await prune(pool, kept_seconds):
                log.info("runs_pruned", rows=removed)
        except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError):
            pass  # the migration has not run yet; health reports it
        except FAILURES as error:
            log.warning("runs_not_pruned", error=describe(error))
        # A random pause, so that services do not all prune at the same moment.
        await asyncio.sleep(PRUNE_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
