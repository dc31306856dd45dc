"""No SQL that the serving role may send changes the content of a version."""

import asyncpg
import pytest

from tests.support.stack import Stack

COLUMNS = (
    *("project_id", "workflow_id", "number", "id", "description", "digest", "canvas_digest", "flow", "flow_ui"),
    *("created_at", "created_by", "created_by_name"),
)
CONTENT = f"SELECT {', '.join(COLUMNS)} FROM versions ORDER BY workflow_id, number"
INSERT = """
    INSERT INTO versions (project_id, workflow_id, number, id, description, digest, canvas_digest, flow, flow_ui,
        created_by, created_by_name)
    SELECT project_id, workflow_id, number, id, 'other', digest, canvas_digest, '{}', '{}', created_by, ''
    FROM versions
"""
REFUSED = {
    **{f"update {column}": f"UPDATE versions SET {column} = {column}" for column in COLUMNS},
    "update with an allowed column": "UPDATE versions SET revision = 2, flow = '{}'",
    "update behind a CTE": "WITH x AS (UPDATE versions SET flow_ui = '{}' RETURNING 1) SELECT * FROM x",
    "update through a view": "CREATE TEMP VIEW v AS SELECT * FROM versions; UPDATE v SET flow = '{}'",
    "update in a block": "DO $$ BEGIN EXECUTE 'UPDATE versions SET digest = digest'; END $$",
    "delete": "DELETE FROM versions",
    "delete of one version": "DELETE FROM versions WHERE number = 1",
    "delete of its workflow": "DELETE FROM workflows",
    "truncate": "TRUNCATE versions",
    "truncate with its workflow": "TRUNCATE workflows CASCADE",
    "insert of the same number": INSERT,
    "insert on conflict": INSERT + " ON CONFLICT (project_id, id) DO UPDATE SET flow = EXCLUDED.flow",
    "merge": "MERGE INTO versions v USING versions w ON v.id = w.id WHEN MATCHED THEN UPDATE SET flow = '{}'",
    "merge with delete": "MERGE INTO versions v USING versions w ON v.id = w.id WHEN MATCHED THEN DELETE",
    "move of its workflow": "UPDATE workflows SET id = gen_random_uuid()",
    "move of its project": "UPDATE workflows SET project_id = gen_random_uuid()",
    "drop": "DROP TABLE versions",
    "drop of the schema": "DROP SCHEMA {workflow} CASCADE",
    "drop of a column": "ALTER TABLE versions DROP COLUMN flow",
    "change of a type": "ALTER TABLE versions ALTER COLUMN flow TYPE jsonb",
    "rename": "ALTER TABLE versions RENAME TO old",
    "drop of a constraint": "ALTER TABLE versions DROP CONSTRAINT versions_pkey",
    "change of the owner": "ALTER TABLE versions OWNER TO CURRENT_USER",
    "trigger": "CREATE TRIGGER t AFTER INSERT ON versions EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "rule": "CREATE RULE r AS ON INSERT TO versions DO ALSO NOTHING",
    "policy": "ALTER TABLE versions ENABLE ROW LEVEL SECURITY",
    "function": "CREATE FUNCTION {workflow}.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "table": "CREATE TABLE {workflow}.t (id int)",
    "table in public": "CREATE TABLE public.t (id int)",
    "the migrator's role": "SET ROLE flowpin_workflow_migrator",
    "the migrator's session": "SET SESSION AUTHORIZATION flowpin_workflow_migrator",
    "replica mode": "SET session_replication_role = replica",
    "a new role": "CREATE ROLE other SUPERUSER",
    "the catalog": "UPDATE pg_class SET relname = 'old' WHERE relname = 'versions'",
    "a copy from a program": "COPY versions FROM PROGRAM 'true'",
    "the migrations": "DELETE FROM schema_migrations",
    "delete of the marks of hidden versions": "DELETE FROM hidden_versions",
    "move of the marks of hidden versions": "UPDATE hidden_versions SET block = 7",
    "update of the canvas of a draft": "UPDATE drafts SET flow = '{}'",
    "reading the deploy schema": "SELECT FROM {deploy}.deployments",
    "writing the deploy schema": "DELETE FROM {deploy}.apps",
}


@pytest.fixture(scope="module", autouse=True)
async def two_versions(shared_stack: Stack):
    workflow, _ = await shared_stack.workflow(saves=2)
    await shared_stack.ok("POST", f"/v1/workflows/{workflow['id']}/versions/1/archive")


@pytest.fixture
async def content(shared_stack: Stack):
    """The content of the two versions, which must not change during the test."""
    async with shared_stack.database("admin", "workflow") as admin:
        before = await admin.fetch(CONTENT)
        assert len(before) == 2
        yield before
        assert await admin.fetch(CONTENT) == before


@pytest.mark.parametrize("statement", REFUSED)
async def test_the_database_refuses_changes_of_saved_content(shared_stack: Stack, content: list, statement: str):
    sql = REFUSED[statement]
    for service, schema in shared_stack.schemas.items():
        sql = sql.replace(f"{{{service}}}", schema)

    async with shared_stack.database("flowpin_workflow", "workflow") as serving:
        with pytest.raises(
            (
                asyncpg.InsufficientPrivilegeError,
                asyncpg.ForeignKeyViolationError,
                asyncpg.UniqueViolationError,
                asyncpg.InvalidAuthorizationSpecificationError,
            )
        ):
            await serving.execute(sql)


@pytest.mark.parametrize("schema_of", ["workflow", "deploy"])
async def test_no_role_of_one_service_reads_the_tables_of_another(shared_stack: Stack, schema_of: str):
    other = "deploy" if schema_of == "workflow" else "workflow"
    async with shared_stack.database("admin", schema_of) as admin:
        tables = await admin.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = $1", shared_stack.schemas[schema_of]
        )

    for role in (f"flowpin_{other}", f"flowpin_{other}_migrator"):
        async with shared_stack.database(role, other) as connection:
            for (table,) in tables:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.fetch(f"SELECT FROM {shared_stack.schemas[schema_of]}.{table}")


async def test_the_serving_role_may_change_the_archive_state_of_a_version(shared_stack: Stack, content: list):
    async with shared_stack.database("flowpin_workflow", "workflow") as serving:
        changed = await serving.execute(
            "UPDATE versions SET archived_at = now(), archived_by = created_by, revision = 7 WHERE number = 1"
        )

    assert changed != "UPDATE 0"


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE workflows SET name = 'Not A Slug'", "workflows_name_is_slug"),
        ("UPDATE workflows SET name = E'a\\n'", "workflows_name_is_slug"),
        ("UPDATE workflows SET description = repeat('x', 513)", "workflows_description_length"),
        ("UPDATE workflows SET archived_count = version_count", "workflows_hidden_count"),
        ("UPDATE workflows SET deleted_count = version_count - archived_count", "workflows_hidden_count"),
        ("UPDATE workflows SET archived_count = -1", "workflows_hidden_count"),
        ("UPDATE workflows SET version_count = -1, archived_count = 0", "workflows_version_count"),
        ("UPDATE workflows SET deleted_at = now()", "workflows_deleted"),
        ("UPDATE hidden_versions SET deleted = archived", "hidden_versions_archived_or_deleted"),
        ("UPDATE versions SET archived_at = now(), archived_by = NULL", "versions_archived"),
        ("UPDATE versions SET deleted_at = now()", "versions_deleted"),
    ],
)
async def test_the_database_refuses_invalid_rows_by_the_name_of_a_constraint(
    shared_stack: Stack, content: list, statement: str, constraint: str
):
    async with shared_stack.database("flowpin_workflow", "workflow") as serving:
        with pytest.raises(asyncpg.CheckViolationError) as caught:
            await serving.execute(statement)

    assert caught.value.constraint_name == constraint
