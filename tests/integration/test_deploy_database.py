"""The database enforces the invariants by itself: what it refuses the serving role, and what it refuses every role."""

import asyncpg
import pytest

from tests.support.deployments import bodies, history, uuid
from tests.support.stack import Stack

ROLE = "flowpin_deploy"
# All other columns of a deployment, such as its pins, are written once.
MUTABLE = {"status", "finished_at", "error_code", "error_message", "live_from", "live_to", "lease_owner", "lease_until"}
MUTABLE |= {"health", "health_note", "marked_at", "routed_at", "rollout_notes", "drained_at", "drained_calls"}
MUTABLE |= {"killed_calls"}
MUTABLE_OF_APPS = {
    "name", "description", "access_type", "deployment_count", "updated_at", "updated_by", "deleted_at", "deleted_by",
    "archived_at", "archived_by", "revision",
}  # fmt: skip
MUTABLE_OF_RUNTIMES = {"label", "is_default", "deprecated", "lock_digest"}


REFUSED = {
    "to rewrite what was pinned": [
        "UPDATE deployments SET version_id = gen_random_uuid()",
        "UPDATE deployments SET version_number = version_number",
        "UPDATE deployments SET workflow_name = 'renamed'",
        "UPDATE deployments SET runtime_id = runtime_id",
        "UPDATE deployments SET runtime_label = 'renamed'",
        "UPDATE deployments SET config = '{}'",
        "UPDATE deployments SET warnings = '{}'",
        "UPDATE deployments SET number = number + 1",
        "UPDATE deployments SET created_by = gen_random_uuid()",
        "UPDATE deployments SET started_at = now()",
        "UPDATE deployments SET live_to = now(), version_digest = version_digest",
        "INSERT INTO deployments SELECT * FROM deployments "
        "ON CONFLICT ON CONSTRAINT deployments_pkey DO UPDATE SET config = excluded.config",
        "UPDATE flows SET flow = '{}'",
        "UPDATE loadables SET document = '{}'",
        "UPDATE deployments SET loadable_digest = NULL",
        "UPDATE runtime_locks SET lock = lock",
        "UPDATE deployments SET runtime_digest = NULL",
        "UPDATE rollout_reports SET digest = NULL",
        "UPDATE apps SET project_id = gen_random_uuid()",
        "UPDATE runtimes SET version = '1'",
        "UPDATE deployments SET source_deployment_id = id",
        "UPDATE access_keys SET secret_hash = secret_hash",
        "UPDATE access_keys SET expires_at = NULL",
        "UPDATE audit_events SET actor_name = 'nobody'",
    ],
    "to remove anything": [
        "DELETE FROM deployments",
        "TRUNCATE deployments",
        "DELETE FROM flows",
        "DELETE FROM loadables",
        "DELETE FROM runtime_locks",
        "DELETE FROM rollout_reports",
        "DELETE FROM apps",
        "DELETE FROM runtimes",
        "DELETE FROM access_keys",
        "DELETE FROM audit_events",
    ],
    "to change the tables": [
        "DROP INDEX deployments_one_live_idx",
        "ALTER TABLE deployments DROP CONSTRAINT deployments_live_is_a_span",
        "CREATE TABLE mine (id uuid)",
        "UPDATE schema_migrations SET version = version",
        "SET ROLE flowpin_deploy_migrator",
    ],
    "to see the workflow service's schema": [
        "SELECT * FROM WORKFLOW.versions",
        "SELECT count(*) FROM WORKFLOW.workflows",
        "UPDATE WORKFLOW.workflows SET name = 'mine'",
    ],
}


@pytest.mark.parametrize("what", REFUSED)
async def test_the_database_refuses_the_serving_role(unstarted: Stack, what):
    async with unstarted.database(ROLE, "deploy") as db:
        for statement in REFUSED[what]:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await db.execute(statement.replace("WORKFLOW", unstarted.schemas["workflow"]))


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("deployments", MUTABLE),
        ("apps", MUTABLE_OF_APPS),
        ("flows", set()),
        ("loadables", set()),
        ("rollout_reports", set()),
        ("runtimes", MUTABLE_OF_RUNTIMES),
        ("access_keys", {"revoked_at", "revoked_by"}),
        ("audit_events", set()),
    ],
)
async def test_the_serving_role_may_update_the_listed_columns_only(unstarted: Stack, table, columns):
    async with unstarted.database("admin", "deploy") as db:
        granted = await db.fetch(
            """
            SELECT attname FROM pg_attribute
            WHERE attrelid = $1::text::regclass AND attnum > 0 AND has_column_privilege($2, attrelid, attnum, 'UPDATE')
            """,
            table,
            ROLE,
        )

    assert {row["attname"] for row in granted} == columns


async def test_the_workflow_services_role_cannot_read_deployments(unstarted: Stack):
    async with unstarted.database("flowpin_workflow", "deploy") as db:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute(f"SELECT count(*) FROM {unstarted.schemas['deploy']}.deployments")


IMPOSSIBLE = {
    "UPDATE deployments SET live_to = NULL": "deployments_one_live_idx",
    "UPDATE deployments SET live_to = live_from": "deployments_live_is_a_span",
    "UPDATE deployments SET status = 'failed', error_code = '', error_message = ''": "deployments_live_once_succeeded",
    "UPDATE deployments SET live_from = NULL": "deployments_live_once_succeeded",
    "UPDATE deployments SET finished_at = NULL": "deployments_finished",
    "UPDATE deployments SET status = 'failed', live_from = NULL, live_to = NULL": "deployments_failed_says_why",
    "UPDATE deployments SET lease_owner = gen_random_uuid()": "deployments_lease",
    "UPDATE deployments SET error_code = 'X'": "deployments_error",
    "UPDATE deployments SET health = 'fine', marked_at = now()": "deployments_health",
    "UPDATE deployments SET health = 'bad'": "deployments_marked",
    "UPDATE deployments SET health_note = 'why'": "deployments_health_note",
    "UPDATE apps SET archived_at = now()": "apps_archived",
    "UPDATE apps SET name = ''": "apps_name",
    "UPDATE apps SET access_type = 'secret'": "apps_access_type",
}


async def test_no_statement_of_the_serving_role_makes_an_impossible_history(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    await stack.deploy(app["id"], workflow["id"])
    before = await bodies(stack, app["id"])

    async with stack.database(ROLE, "deploy") as db:
        for statement, constraint in IMPOSSIBLE.items():
            with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
                await db.execute(statement)

            assert (statement, refused.value.constraint_name) == (statement, constraint)
    assert await bodies(stack, app["id"]) == before


async def test_two_deployments_of_one_environment_cannot_both_be_live(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    await stack.deploy(app["id"], workflow["id"])
    _, ended = await history(stack, app["id"])

    async with stack.database("admin", "deploy") as db:
        with pytest.raises(asyncpg.UniqueViolationError) as refused:
            await db.execute("UPDATE deployments SET live_to = NULL WHERE id = $1", uuid(ended["id"]))

    assert refused.value.constraint_name == "deployments_one_live_idx"
