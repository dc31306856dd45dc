"""`flowpin verify` compares the runs of apps with their deployments."""

from dataclasses import replace
from uuid import UUID, uuid4

import asyncpg
import pytest

import deploy_service
import run_service
import workflow_service
from flowpin_cli.verify.run import verify
from flowpin_cli.verify.snapshot import Source
from tests.support.databases import migrate
from tests.support.stack import Stack
from tests.support.whole_history import findings_of

pytestmark = pytest.mark.slow


WRONG = {
    "runs of a deployment that does not exist": {"deployment_id": uuid4()},
    "the environment of its runs is not the deployment's": {"environment": "staging"},
    "the version_number of its runs is not the deployment's": {"version_number": 7},
    "the version_id of its runs is not the deployment's": {"version_id": uuid4()},
    "the app_id of its runs is not the deployment's": {"app_id": uuid4()},
}


def sources_of(stack: Stack) -> list[Source]:
    services = (workflow_service, deploy_service, run_service)
    sources = [Source(each.SCHEMA, stack.urls["admin"], each.SCHEMA, each.MIGRATIONS) for each in services]
    return [*sources[:2], replace(sources[2], is_optional=True)]


async def test_verify_names_a_run_that_does_not_match_its_deployment(stack: Stack):
    workflow, _ = await stack.workflow(saves=1)
    app = await stack.app(workflow["id"])
    sources = sources_of(stack)
    async with stack.database("admin", "deploy") as admin:
        await admin.execute("DROP SCHEMA run CASCADE")
    before = await verify(sources)
    await migrate(stack.urls, ["run"])
    columns = {
        "project_id": stack.people.project,
        "deployment_id": UUID(app["latest_deployment_id"]),
        "app_id": UUID(app["id"]),
        "environment": "production",
        "version_id": UUID(app["workflow_version_id"]),
        "version_number": 1,
    }
    insert = f"""
        INSERT INTO run.runs (id, status, is_stream, started_at, {", ".join(columns)})
        VALUES (gen_random_uuid(), 'created', false, now(), $1, $2, $3, $4, $5, $6)
    """
    db = await asyncpg.connect(stack.urls["flowpin_run"])
    for _ in range(3):
        await db.execute(insert, *columns.values())
    right = await verify(sources)
    for wrong in WRONG.values():
        await db.execute(insert, *(columns | wrong).values())
    await db.close()
    broken = await verify(sources)
    async with stack.database("admin", "deploy") as admin:
        await admin.execute("SET session_replication_role = replica")
        await admin.execute(
            """
            UPDATE deployments SET status = 'failed', error_code = 'X', error_message = 'x', live_from = NULL
            """
        )

    never_live = await verify(sources)

    assert findings_of(before) == findings_of(right) == {}
    assert [each.outcome.checked for each in right.results if each.check.name == "runs.deployments"] == [3]
    assert {each["what"] for each in findings_of(broken)["runs.deployments"]} == WRONG.keys()
    assert "runs of a deployment that was never live" in {
        each["what"] for each in findings_of(never_live)["runs.deployments"]
    }
