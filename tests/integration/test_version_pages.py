"""Any page of versions is a slice of the list, and is read without the hidden versions before and on it."""

import random
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import workflow_service
from service_kit import migrations
from service_kit.db import Connection, open_pool
from service_kit.paging import Page
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from tests.support.stack import Stack
from workflow_service.repository import version_pages

pytestmark = pytest.mark.slow

SEED = 20261122
PAGES = {"first": 0, "second": 1, "middle": 360, "last but one": 718, "last": 719}
USUAL = 150
"""What a page of 25 reads, more than enough."""

GROW = """
    WITH workflow AS (
        UPDATE workflows SET version_count = $2 WHERE id = $1 RETURNING *
    )
    INSERT INTO versions (
        project_id, workflow_id, number, id, description, digest, canvas_digest, flow, flow_ui, created_by,
        created_by_name
    )
    SELECT project_id, id, number, gen_random_uuid(), '', sha256(number::text::bytea), sha256('ui'), '{}', '{}',
        created_by, 'Ada'
    FROM workflow, generate_series(2, $2) number
"""
HIDE = {
    "archived": "UPDATE versions SET archived_at = now(), archived_by = created_by "
    "WHERE workflow_id = $1 AND number = ANY($2) AND archived_at IS NULL AND deleted_at IS NULL",
    "deleted": "UPDATE versions SET deleted_at = now(), deleted_by = created_by "
    "WHERE workflow_id = $1 AND number = ANY($2) AND deleted_at IS NULL",
}
COUNT = """
    UPDATE workflows SET
        archived_count = (SELECT count(*) FROM versions v WHERE workflow_id = $1
            AND archived_at IS NOT NULL AND deleted_at IS NULL),
        deleted_count = (SELECT count(*) FROM versions v WHERE workflow_id = $1 AND deleted_at IS NOT NULL)
    WHERE id = $1
"""
MARKED = """
    SELECT block * 1000 + place AS number, get_bit(archived, place - 1) = 1 AS archived,
        get_bit(deleted, place - 1) = 1 AS deleted
    FROM hidden_versions, generate_series(1, 1000) place
    WHERE get_bit(archived | deleted, place - 1) = 1 AND workflow_id = $1
"""
HIDDEN = """
    SELECT number, deleted_at IS NULL AS archived, deleted_at IS NOT NULL AS deleted
    FROM versions WHERE (archived_at IS NOT NULL OR deleted_at IS NOT NULL) AND workflow_id = $1
"""
READ = """
    SELECT sum(pg_stat_get_xact_tuples_returned(c.oid))::int
    FROM pg_class c WHERE relnamespace = current_schema()::regnamespace AND relkind = 'i'
"""
"""Index entries that the transaction has read; nothing is read but by an index."""


@dataclass
class History:
    stack: Stack
    workflow_id: UUID
    serving: Connection

    async def hide(self, how: str, numbers: Sequence[int]) -> None:
        await self.serving.execute(HIDE[how], self.workflow_id, numbers)
        await self.serving.execute(COUNT, self.workflow_id)
        async with self.stack.database("admin", "workflow") as admin:
            await admin.execute("VACUUM versions, hidden_versions, workflows")

    async def page(
        self, number: int, size: int, *, newest_first: bool = True, with_archived: bool = False
    ) -> tuple[list[int], int]:
        """The numbers on the page `number`, which counts from 0, and the total."""
        found, total = await version_pages.list_versions(
            self.serving,
            [self.stack.people.project],
            self.workflow_id,
            Page(number + 1, size, ""),
            newest_first=newest_first,
            with_archived=with_archived,
        )
        return [version.number for version in found], total

    async def read(self, number: int, **options: Any) -> int:
        """The number of rows that a page of 25 reads."""
        async with self.serving.transaction():
            before = await self.serving.fetchval(READ)
            await self.page(number, 25, **options)
            return int(await self.serving.fetchval(READ) - before)


@pytest.fixture(scope="module")
async def serving(shared_stack: Stack) -> AsyncIterator[Connection]:
    """A connection with the settings of the service, so that it gets the same plans."""
    url, schema = shared_stack.urls["flowpin_workflow"], shared_stack.schemas["workflow"]
    async with open_pool(url, schema, 1, one_plan=True) as pool, pool.acquire() as connection:
        yield connection


async def marks(db: Connection, workflow_id: UUID) -> list[tuple[int, bool, bool]]:
    """The hidden versions according to their marks: number, archived, deleted."""
    return sorted(tuple(row) for row in await db.fetch(MARKED, workflow_id))


async def hidden(db: Connection, workflow_id: UUID) -> list[tuple[int, bool, bool]]:
    """The hidden versions according to the table versions: number, archived, deleted."""
    return sorted(tuple(row) for row in await db.fetch(HIDDEN, workflow_id))


async def history(stack: Stack, serving: Connection, versions: int) -> History:
    workflow, _ = await stack.workflow()
    async with stack.database("admin", "workflow") as admin:
        await admin.execute(GROW, UUID(workflow["id"]), versions)
        await admin.execute("ANALYZE versions, hidden_versions, workflows")
    return History(stack, UUID(workflow["id"]), serving)


async def test_every_page_of_versions_is_right_after_any_archives_and_deletes(shared_stack: Stack, serving: Connection):
    chance, count = random.Random(SEED), 4_321
    of = await history(shared_stack, serving, count)
    archived, deleted = set(chance.sample(range(1, count), 400)) | set(range(1_500, 3_200)), set(range(2_900, 3_000))
    await of.hide("archived", sorted(archived))
    await of.hide("deleted", sorted(deleted))
    for _ in range(300):
        number, call = chance.randrange(1, count), chance.choice(("Archive", "Unarchive", "Delete"))
        if number in deleted:
            continue
        request = getattr(pb, f"{call}VersionRequest")(workflow_id=str(of.workflow_id), version=str(number))
        await getattr(shared_stack.workflows, f"{call}Version")(request, metadata=shared_stack.as_())
        {"Archive": archived.add, "Unarchive": archived.discard, "Delete": deleted.add}[call](number)

    async with shared_stack.database("admin", "workflow") as admin:
        assert await marks(admin, of.workflow_id) == await hidden(admin, of.workflow_id)
        counters = "SELECT archived_count, deleted_count FROM workflows WHERE id = $1"
        assert tuple(await admin.fetchrow(counters, of.workflow_id)) == (len(archived - deleted), len(deleted))
    for newest_first, with_archived in product((True, False), (True, False)):
        left_out = deleted | (set() if with_archived else archived)
        plain = [number for number in range(1, count + 1) if number not in left_out]
        plain = plain[::-1] if newest_first else plain
        for size in (23, 100, 500):
            for number in range(-(-len(plain) // size) + 1):
                page = await of.page(number, size, newest_first=newest_first, with_archived=with_archived)
                assert page == (plain[number * size : (number + 1) * size], len(plain)), (SEED, size, number)


@pytest.fixture(scope="module")
async def tenth(shared_stack: Stack, serving: Connection) -> History:
    """A history of 20,000 versions, every tenth archived."""
    tenth = await history(shared_stack, serving, 20_000)
    await tenth.hide("archived", list(range(10, 20_000, 10)))
    return tenth


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("page", PAGES)
async def test_a_page_of_20_000_versions_reads_its_own_rows_only(tenth: History, page: str, newest_first: bool):
    assert await tenth.read(PAGES[page], newest_first=newest_first) < USUAL


@pytest.mark.parametrize(("how", "with_archived"), [("archived", False), ("deleted", False), ("deleted", True)])
async def test_a_page_does_not_read_a_long_run_of_hidden_versions(
    shared_stack: Stack, serving: Connection, how: str, with_archived: bool
):
    of = await history(shared_stack, serving, 20_000)
    await of.hide(how, [number for number in range(51, 20_000) if number % 4_000])

    pages = [await of.page(number, 25, with_archived=with_archived) for number in range(3)]
    read = [await of.read(number, with_archived=with_archived) for number in range(3)]

    listed = [20_000, 16_000, 12_000, 8_000, 4_000, *range(50, 0, -1)]
    assert pages == [(listed[start : start + 25], 55) for start in (0, 25, 50)]
    assert max(read) < USUAL


async def test_plans_cached_on_empty_tables_read_no_more_rows(stack: Stack):
    url, schema = stack.urls["flowpin_workflow"], stack.schemas["workflow"]
    workflow, _ = await stack.workflow(saves=2)
    await stack.ok("POST", f"/v1/workflows/{workflow['id']}/versions/1/archive")
    async with open_pool(url, schema, 1, one_plan=True) as pool, pool.acquire() as serving:
        of = History(stack, UUID(workflow["id"]), serving)
        await of.page(0, 25)
        async with stack.database("admin", "workflow") as admin:
            await admin.execute("DELETE FROM versions WHERE number = 2")
            await admin.execute(GROW, of.workflow_id, 20_000)

        read = [await of.read(number) for number in (0, 1, 400, 799)]

    assert max(read) < USUAL


async def test_the_migration_counts_versions_hidden_before_it_and_later_by_older_replicas(
    shared_stack: Stack, tmp_path: Path
):
    for migration in sorted(workflow_service.MIGRATIONS.glob("*.sql"))[:3]:
        shutil.copy(migration, tmp_path)
    role, schema = "flowpin_workflow", f"{shared_stack.schemas['workflow']}_older"
    migrator, url = shared_stack.urls[f"{role}_migrator"], shared_stack.urls[role]
    await migrations.provision(shared_stack.urls["admin"], schema, migrator, url)
    await migrations.migrate(migrator, schema, tmp_path)
    project, workflow = UUID(int=1), UUID(int=2)
    async with open_pool(url, schema, 1, one_plan=True) as pool, pool.acquire() as db:
        await db.execute(
            "INSERT INTO workflows (project_id, id, name, description, version_count, created_by, updated_by) "
            "VALUES ($1, $2, 'flow', '', 1, $2, $2)",
            project,
            workflow,
        )
        await db.execute(GROW, workflow, 2_500)
        await db.execute(HIDE["archived"], workflow, [2, 7, 1_000, 1_001, 2_400])
        await db.execute(HIDE["deleted"], workflow, [7, 8, 2_000])

        await migrations.migrate(migrator, schema, workflow_service.MIGRATIONS)
        before = await marks(db, workflow), await hidden(db, workflow)
        await db.execute(HIDE["archived"], workflow, [3, 2_401])
        await db.execute(HIDE["deleted"], workflow, [2])
        after = await marks(db, workflow), await hidden(db, workflow)

    assert before[0] == before[1]
    assert [number for number, *_ in before[0]] == [2, 7, 8, 1_000, 1_001, 2_000, 2_400]
    assert after[0] == after[1]
    assert [number for number, *_ in after[0]] == [2, 3, 7, 8, 1_000, 1_001, 2_000, 2_400, 2_401]
