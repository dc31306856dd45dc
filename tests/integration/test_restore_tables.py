"""A restore empties tables and fills them in the order of their references, without firing triggers."""

from collections.abc import AsyncIterator, Mapping

import asyncpg
import pytest

from flowpin_cli.postgres import catalog
from service_kit.db import Connection

TABLES = """
    CREATE SCHEMA filling;
    SET search_path TO filling;
    CREATE TABLE a_child (id int, other int);
    CREATE TABLE z_parent (id int PRIMARY KEY, self int REFERENCES z_parent);
    ALTER TABLE a_child ADD FOREIGN KEY (id) REFERENCES z_parent;
    INSERT INTO z_parent VALUES (1);
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'fired'; END $$;
    CREATE TRIGGER t BEFORE INSERT ON z_parent FOR EACH ROW EXECUTE FUNCTION refuse();
    SET statement_timeout = '1s';
"""


@pytest.fixture
async def db(database_urls: Mapping[str, str]) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database_urls["admin"])
    await connection.execute(TABLES)
    yield connection
    await connection.execute("DROP SCHEMA filling CASCADE")
    await connection.close()


async def test_a_restore_fills_tables_after_the_tables_that_they_reference(db: Connection):
    assert await catalog.tables_by_reference(db, "filling") == ["z_parent", "a_child"]


async def test_a_restore_empties_tables_and_fills_them_without_triggers_or_timeouts(db: Connection):
    tables = ["z_parent", "a_child"]

    async with db.transaction():
        await catalog.begin_filling(db, "filling", tables)
        await db.execute("INSERT INTO z_parent SELECT 1 FROM pg_sleep(1.2)")
        await catalog.end_filling(db, "filling", tables)

    assert await db.fetchval("SELECT count(*) FROM z_parent") == 1
    assert await db.fetchval("SHOW statement_timeout") == "1s"
    with pytest.raises(asyncpg.RaiseError, match="fired"):
        await db.execute("INSERT INTO z_parent VALUES (2)")
