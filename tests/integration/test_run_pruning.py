"""Records of runs are removed after the configured time, and by no role before a day has passed."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import asyncpg
import pytest

from run_service import pruning
from service_kit.db import open_pool
from service_kit.ids import new_id
from tests.support.apps.world import Apps, fresh_apps, running_apps
from tests.support.waiting import eventually

PROJECT = new_id()
KEPT = """
    INSERT INTO runs (project_id, id, environment, app_id, status, is_stream, started_at, ended_at)
    SELECT $1, gen_random_uuid(), $2, gen_random_uuid(), CASE WHEN $3::text IS NULL THEN 'started' ELSE 'completed' END,
        false, clock_timestamp() - interval '90 days', clock_timestamp() - $3::text::interval
    FROM generate_series(1, $4)
"""


@asynccontextmanager
async def database(apps: Apps, role: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(apps.urls[role], server_settings={"search_path": "run"})
    try:
        yield connection
    finally:
        await connection.close()


async def keep(apps: Apps, name: str, ended: str | None, count: int = 1) -> None:
    """Insert runs that ended the given time ago, or never ended. `name` is their environment."""
    async with database(apps, "admin") as admin:
        await admin.execute(KEPT, PROJECT, name, ended, count)


async def kept(apps: Apps) -> list[str]:
    async with database(apps, "admin") as admin:
        return [row["environment"] for row in await admin.fetch("SELECT environment FROM runs ORDER BY environment")]


@pytest.fixture
async def stopped(database_urls: Mapping[str, str], tmp_path) -> AsyncIterator[Apps]:
    async with fresh_apps(database_urls, tmp_path) as apps:
        yield apps


async def test_a_running_service_removes_records_of_old_runs_only(database_urls, tmp_path, monkeypatch):
    monkeypatch.setattr(pruning, "PRUNE_SECONDS", 0.2)
    async with running_apps(database_urls, tmp_path, kept_days=2) as apps:
        await keep(apps, "old", "2 days 1 second")
        await keep(apps, "young", "1 day 23 hours 59 minutes")
        await keep(apps, "open", None)

        async def is_pruned() -> bool:
            return await kept(apps) == ["open", "young"]

        await eventually(is_pruned)


async def test_replicas_that_prune_concurrently_remove_each_old_run_once(stopped: Apps):
    await keep(stopped, "old", "40 days", count=500)
    await keep(stopped, "young", "29 days")

    async with open_pool(stopped.urls["flowpin_run"], "run", 4) as pool:
        removed = await asyncio.gather(*(pruning.prune(pool, 30 * 86400, batch=50) for _ in range(4)))

    assert await kept(stopped) == ["young"]
    assert sum(removed) == 500


@pytest.mark.parametrize("ended", ["23 hours 59 minutes", None])
async def test_the_serving_role_cannot_remove_a_run_before_a_day_has_passed(stopped: Apps, ended: str | None):
    await keep(stopped, "run", ended)

    async with database(stopped, "flowpin_run") as serving:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="a day after it has ended"):
            await serving.execute("DELETE FROM runs")

    assert await kept(stopped) == ["run"]


async def test_the_oldest_runs_are_found_by_an_index(stopped: Apps):
    async with database(stopped, "flowpin_run") as serving:
        await serving.execute("SET enable_seqscan = off")

        plan = await serving.fetch(
            "EXPLAIN SELECT ctid FROM runs WHERE ended_at IS NOT NULL "
            "AND ended_at <= clock_timestamp() - make_interval(secs => 5) ORDER BY ended_at LIMIT 1000 "
            "FOR UPDATE SKIP LOCKED"
        )

    assert any("runs_ended_idx" in line for (line,) in plan)
