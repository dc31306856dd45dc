"""Removes stored answers after 24 hours while a service runs. Any number of replicas may do so."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import structlog

from service_kit.db import FAILURES, Pool
from service_kit.idempotency import repository
from service_kit.lifecycle import in_background

PRUNE_SECONDS = 600.0
BATCH = 1000  # takes a few milliseconds, so that saves do not wait for it

log = structlog.get_logger()


@asynccontextmanager
async def pruning(pool: Pool, seconds: float = PRUNE_SECONDS) -> AsyncIterator[None]:
    """Prune now, and again about every `seconds`, until the block ends."""
    async with in_background(_prune_for_ever(pool, seconds)):
        yield


async def prune(pool: Pool, batch: int = BATCH) -> int:
    """Remove all expired answers, `batch` rows per statement. Returns their number."""
    removed = 0
    while True:
        async with pool.acquire() as db:
            in_batch = await repository.delete_expired(db, batch)
        removed += in_batch
        if in_batch < batch:
            return removed


async def _prune_for_ever(pool: Pool, seconds: float) -> None:
    while True:
        try:
            if removed := await prune(pool):
                log.info("idempotency_keys_pruned", rows=removed)
        except asyncpg.UndefinedTableError:
            pass  # the migration has not run yet; health reports it
        except FAILURES as error:
            log.warning("idempotency_keys_not_pruned", error=type(error).__name__)
        # A random pause, so that replicas do not all prune at the same moment.
        await asyncio.sleep(seconds * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
