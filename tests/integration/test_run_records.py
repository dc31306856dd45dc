"""Runs are written in batches, each in its newest state, by a role that cannot rewrite them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from run_service.model import Run, RunError
from run_service.recorder import MAX_WAITING, RunRecorder
from run_service.repository.runs import get_run, upsert_runs
from service_kit.db import open_pool
from service_kit.ids import new_id
from tests.support.apps.world import Apps, running_apps
from tests.support.waiting import eventually


def run(**fields: Any) -> Run:
    return Run(
        **{
            "project_id": new_id(),
            "id": new_id(),
            "app_id": new_id(),
            "environment": "production",
            "deployment_id": new_id(),
            "version_id": new_id(),
            "version_number": 1,
            "is_stream": False,
            "started_at": datetime.now(UTC),
            "access_key_id": None,
            "access_key_preview": None,
            **fields,
        }
    )


async def test_the_record_of_an_ended_run_does_not_change(apps: Apps):
    async with open_pool(apps.urls["flowpin_run"], "run", 1) as pool, pool.acquire() as db:
        begun = run()
        ended = begun.ended("failed", RunError("run_failed", "a\0b" + "x" * 5000, "node"))
        for each in (begun, ended, begun, begun.ended("completed")):
            await upsert_runs(db, [each])

        kept = await get_run(db, [begun.project_id], begun.id)

    assert kept == ended
    assert len(kept.error_message or "") == 2000


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE runs",
        "UPDATE runs SET deployment_id = id",
        "UPDATE runs SET project_id = id",
        "UPDATE runs SET started_at = now()",
        "INSERT INTO schema_migrations VALUES ('9999')",
    ],
)
async def test_the_serving_role_cannot_rewrite_runs(shared_apps: Apps, statement: str):
    connection = await asyncpg.connect(shared_apps.urls["flowpin_run"], server_settings={"search_path": "run"})
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_runs_beyond_the_recorders_limit_are_dropped_and_the_others_have_their_newest_state(apps: Apps):
    runs = [run() for _ in range(MAX_WAITING + 5)]
    async with open_pool(apps.urls["flowpin_run"], "run", 2) as pool, pool.acquire() as db:
        recorder = RunRecorder(pool, 600)
        for each in runs:
            recorder.record(each)
        recorder.record(runs[0].ended("completed"))

        async def are_written() -> bool:
            await recorder.flush()
            return bool(await db.fetchval("SELECT count(*) FROM runs") >= MAX_WAITING)

        await eventually(are_written, seconds=60)
        first = await get_run(db, [runs[0].project_id], runs[0].id)
        count = await db.fetchval("SELECT count(*) FROM runs")

    assert first.status == "completed"
    assert count == MAX_WAITING


async def test_a_run_whose_router_has_stopped_ends_as_lost(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path) as apps:
        stale, recent = run(started_at=datetime.now(UTC) - timedelta(hours=1)), run()
        async with open_pool(apps.urls["flowpin_run"], "run", 1) as pool, pool.acquire() as db:
            await upsert_runs(db, [stale, recent])
            async with apps.run_service():

                async def is_lost() -> bool:
                    return (await get_run(db, [stale.project_id], stale.id)).error_code == "lost"

                await eventually(is_lost)
            assert (await get_run(db, [recent.project_id], recent.id)).status == "started"
