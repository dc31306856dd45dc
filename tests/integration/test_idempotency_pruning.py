"""The record of an idempotency key is removed after 24 hours and not before."""

import asyncio

import pytest

from service_kit.db import open_pool
from service_kit.idempotency import pruning
from service_kit.ids import new_id
from tests.support.stack import Stack, running_stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


SERVICES = ["workflow", "deploy"]
KEPT = """
    INSERT INTO idempotency_keys (project_id, principal_id, rpc, key, request_digest, answer, created_at)
    SELECT $1, $1, 'rpc', $2 || number, '', '', clock_timestamp() - $3::text::interval
    FROM generate_series(1, $4) AS number
"""


async def keep(stack: Stack, service: str, name: str, age: str, count: int = 1) -> None:
    async with stack.database("admin", service) as admin:
        await admin.execute(KEPT, new_id(), name, age, count)


async def kept(stack: Stack, service: str) -> list[str]:
    async with stack.database("admin", service) as admin:
        return [row["key"] for row in await admin.fetch("SELECT key FROM idempotency_keys ORDER BY key")]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_running_service_removes_expired_idempotency_keys_only(unstarted: Stack, service: str):
    await keep(unstarted, service, "old", "24 hours 1 second")
    await keep(unstarted, service, "young", "23 hours 59 minutes")

    async with running_stack(unstarted) as stack:

        async def is_pruned() -> bool:
            return await kept(stack, service) == ["young1"]

        await eventually(is_pruned, 3)


async def test_replicas_that_prune_concurrently_remove_each_idempotency_key_once(unstarted: Stack):
    await keep(unstarted, "workflow", "old", "25 hours", count=1000)
    url, schema = unstarted.urls["flowpin_workflow"], unstarted.schemas["workflow"]

    async with open_pool(url, schema, 4) as pool:
        removed = await asyncio.gather(*(pruning.prune(pool, batch=50) for _ in range(4)))

    assert await kept(unstarted, "workflow") == []
    assert sum(removed) == 1000


async def test_an_idempotency_key_used_again_while_it_is_pruned_stays(unstarted: Stack):
    await keep(unstarted, "workflow", "old", "25 hours", count=2)
    url, schema = unstarted.urls["flowpin_workflow"], unstarted.schemas["workflow"]

    async with unstarted.database("admin", "workflow") as admin, admin.transaction():
        await admin.execute("UPDATE idempotency_keys SET created_at = clock_timestamp() WHERE key = 'old1'")
        async with open_pool(url, schema, 1) as pool, asyncio.timeout(2):
            removed = await pruning.prune(pool)

    assert removed == 1
    assert await kept(unstarted, "workflow") == ["old1"]


@pytest.mark.parametrize("service", SERVICES)
async def test_the_oldest_idempotency_keys_are_found_by_an_index(unstarted: Stack, service: str):
    async with unstarted.database(f"flowpin_{service}", service) as serving:
        await serving.execute("SET enable_seqscan = off")

        plan = await serving.fetch(
            "EXPLAIN SELECT ctid FROM idempotency_keys WHERE created_at <= clock_timestamp() - interval '24 hours' "
            "ORDER BY created_at LIMIT 1000 FOR UPDATE SKIP LOCKED"
        )

    assert any("Index Scan using idempotency_keys_created_at_idx" in line for (line,) in plan)
