"""A service does not serve a schema that is older than its code, and names the missing migration."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

import workflow_service
from service_kit import migrations
from tests.support.stack import Stack, running_stack
from tests.support.waiting import eventually, negated, ready, serving

pytestmark = pytest.mark.slow


async def test_a_service_does_not_serve_a_schema_without_migrations_until_they_have_run(unstarted: Stack):
    service, role = "workflow", "flowpin_workflow"
    migrator = unstarted.urls[f"{role}_migrator"]
    fresh = replace(unstarted, schemas={**unstarted.schemas, service: f"{unstarted.schemas[service]}_fresh"})
    await migrations.provision(fresh.urls["admin"], fresh.schemas[service], migrator, fresh.urls[role])

    with capture_logs() as logs:
        async with running_stack(fresh) as stack:
            await eventually(lambda: negated(serving(stack.workflow_port, "database")), 3)
            was_serving = await serving(stack.workflow_port)
            read = await stack.rest("GET", f"/v1/workflows?project_id={stack.people.project}")
            await migrations.migrate(migrator, stack.schemas[service], workflow_service.MIGRATIONS)
            await eventually(lambda: serving(stack.workflow_port), 5)
            draft = await stack.draft()

    reasons = [line["error"] for line in logs if line["event"] == "health_lost" and line["part"] == "database"]
    # While the migrations run, a health check may see the schema between two migrations.
    assert reasons[0] == (
        f"migration {migrations.newest(workflow_service.MIGRATIONS)} has not run; the schema is at nothing"
    )
    assert not was_serving
    assert (read.status, read.error["details"]["reason"]) == (503, "DATABASE_UNAVAILABLE")
    assert read.headers["Retry-After"]
    assert draft["status"] == "draft"


async def test_a_service_does_not_serve_a_schema_older_than_its_code(stack: Stack):
    await eventually(lambda: serving(stack.deploy_port), 3)

    async with stack.database("admin", "deploy") as database:
        await database.execute("DELETE FROM schema_migrations")

    await eventually(lambda: negated(serving(stack.deploy_port)), 3)
    assert await serving(stack.workflow_port)
    assert not await ready(stack)
