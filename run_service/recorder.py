"""Writes runs in batches, in the background, so that calls never wait. Runs above the limit are dropped and counted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

import asyncpg
import structlog
from prometheus_client import Counter, Gauge

from run_service.model import Run, RunError
from run_service.repository import runs
from service_kit.database_errors import describe
from service_kit.db import FAILURES, Pool
from service_kit.lifecycle import in_background

MAX_WAITING = 10_000
"""Maximum runs that wait to be written."""
BATCH = 500
PAUSE_SECONDS = 0.25
"""Seconds between two batches. A run that ends within this time is written once."""
LONGEST_PAUSE_SECONDS = 5.0
LOST = RunError("lost", "The router ended before the run did.")
LOST_PAUSE_SECONDS = 60.0
"""Seconds between two checks for lost runs."""
FLUSH_SECONDS = 2.0
"""How long the last write at the end may take."""

DROPPED = Counter("flowpin_runs_dropped_total", "Runs that could not be recorded.")
WAITING = Gauge("flowpin_runs_waiting", "Runs that wait to be recorded.")

log = structlog.get_logger()


class RunRecorder:
    def __init__(self, pool: Pool, longest_seconds: float) -> None:
        """Every run is shorter than `longest_seconds`. One that began earlier and has no end was lost."""
        self._pool = pool
        self._longest_seconds = longest_seconds
        self._waiting: dict[UUID, Run] = {}
        """The newest state of each run, in order of arrival."""
        self._dropped = 0

    def record(self, run: Run) -> None:
        """Record the current state of a run. It replaces an unwritten earlier state."""
        if len(self._waiting) >= MAX_WAITING and run.id not in self._waiting:
            self._dropped += 1
            DROPPED.inc()
            return
        self._waiting[run.id] = run
        WAITING.set(len(self._waiting))

    async def write(self) -> None:
        """Write recorded runs until canceled."""
        pause = PAUSE_SECONDS
        while True:
            await asyncio.sleep(pause)
            if self._dropped:
                log.warning("runs_dropped", count=self._dropped)
                self._dropped = 0
            pause = PAUSE_SECONDS if await self._write_batches() else min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def end_lost(self) -> None:
        """End the runs of routers that have stopped, until canceled."""
        while True:
            try:
                async with self._pool.acquire() as db:
                    if lost := await runs.end_lost_runs(db, self._longest_seconds, LOST):
                        log.warning("runs_lost", count=lost)
            except FAILURES as error:
                log.warning("lost_runs_not_ended", error=describe(error))
            await asyncio.sleep(LOST_PAUSE_SECONDS)

    async def flush(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._write_batches()
        if self._waiting:
            log.warning("runs_dropped", count=len(self._waiting))

    async def _write_batches(self) -> bool:
        """Write all waiting runs. False when the database failed; unwritten runs keep waiting."""
        while self._waiting:
            batch = list(self._waiting.values())[:BATCH]
            try:
                async with self._pool.acquire() as db:
                    await runs.upsert_runs(db, batch)
            except asyncpg.DataError as error:  # a bug; without this, the batch would be repeated forever
                log.error("runs_refused", error=describe(error), count=len(batch))
                DROPPED.inc(len(batch))
            except FAILURES as error:
                log.warning("runs_not_written", error=describe(error), count=len(self._waiting))
                return False
            for run in batch:
                if self._waiting.get(run.id) is run:
                    del self._waiting[run.id]
            WAITING.set(len(self._waiting))
        return True


@asynccontextmanager
async def recording(pool: Pool, longest_seconds: float) -> AsyncIterator[RunRecorder]:
    recorder = RunRecorder(pool, longest_seconds)
    try:
        async with in_background(recorder.write()), in_background(recorder.end_lost()):
            yield recorder
    finally:
        await recorder.flush()
