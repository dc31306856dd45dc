"""A deployment is marked good or bad; a version whose newest mark in an app is bad is not deployed to it again."""

from uuid import UUID

import pytest

import deploy_service
from deploy_service.repository.apps import lock_app
from service_kit import migrations
from tests.support.deployments import deployment_now, history, unknown, uuid
from tests.support.stack import Answer, Stack


async def mark(stack: Stack, deployment, health: str, **more) -> Answer:
    return await stack.rest("POST", f"/v1/deployments/{deployment['id']}/health", {"health": health, **more})


async def test_a_mark_of_a_deployment_is_stored_and_a_later_one_replaces_it(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    [deployed] = await history(stack, app["id"])

    bad = await mark(stack, deployed, "bad", note="errors went up")
    good = await mark(stack, deployed, "good")

    assert (bad.status, bad.data) == (200, {**deployed, "health": "bad", "health_note": "errors went up"})
    assert good.data == {**deployed, "health": "good"}
    assert await deployment_now(stack, deployed) == good.data


async def test_deploying_a_version_marked_bad_to_the_same_app_needs_force(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    app, other = [await stack.app(workflow["id"], workflow_version_id=versions[0]["id"]) for _ in range(2)]
    [deployed] = await history(stack, app["id"])
    await mark(stack, deployed, "bad")
    body = {"workflow_id": workflow["id"], "workflow_version_id": versions[0]["id"]}
    rows = await stack.row_counts()

    refused = await stack.rest("POST", f"/v1/apps/{app['id']}/deploy", body)
    unchanged = await stack.row_counts()
    newer = await stack.deploy(app["id"], workflow["id"])
    forced = await stack.deploy(app["id"], force=True, **body)
    elsewhere = await stack.deploy(other["id"], **body)

    assert refused.refusal == (400, "VERSION_MARKED_BAD", {"force"})
    assert unchanged == rows
    assert [row["live"] for row in (newer, forced, elsewhere)] == [True] * 3


@pytest.mark.parametrize(("marks", "status"), [(("bad", "good"), 201), (("good", "bad"), 400)])
async def test_the_newest_mark_of_a_version_decides_on_any_of_its_deployments(stack: Stack, marks, status):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    await stack.deploy(app["id"], workflow["id"])
    newer, older = await history(stack, app["id"])
    for deployment, health in zip((newer, older), marks, strict=True):
        await mark(stack, deployment, health)

    answer = await stack.rest("POST", f"/v1/apps/{app['id']}/deploy", {"workflow_id": workflow["id"]})

    assert answer.status == status


@pytest.mark.parametrize(("marks", "status"), [(("bad", "good"), 201), (("good", "bad"), 400)])
async def test_the_newest_mark_decides_after_the_database_clock_is_set_back(stack: Stack, marks, status):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    await stack.deploy(app["id"], workflow["id"])
    older, newer = await history(stack, app["id"])
    await mark(stack, older, marks[0])
    async with stack.database("admin", "deploy") as db:
        await db.execute(
            "UPDATE deployments SET marked_at = marked_at + interval '1 hour' WHERE id = $1", uuid(older["id"])
        )
    await mark(stack, newer, marks[1])

    answer = await stack.rest("POST", f"/v1/apps/{app['id']}/deploy", {"workflow_id": workflow["id"]})

    assert answer.status == status


async def test_a_rollback_uses_the_newest_mark_after_the_database_clock_is_set_back(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    first, second = (version["id"] for version in versions)
    app = await stack.app(workflow["id"], workflow_version_id=first)
    await stack.deploy(app["id"], workflow["id"], workflow_version_id=first)
    await stack.deploy(app["id"], workflow["id"], workflow_version_id=second)
    _, again, once = await history(stack, app["id"])
    await mark(stack, once, "good")
    async with stack.database("admin", "deploy") as db:
        await db.execute("UPDATE deployments SET marked_at = marked_at + interval '1 hour' WHERE health IS NOT NULL")
    await mark(stack, again, "bad")

    answer = await stack.rest("POST", f"/v1/apps/{app['id']}/rollback", {})

    assert (answer.status, answer.error["details"]["reason"]) == (400, "NOTHING_TO_ROLL_BACK_TO")


BEFORE_NUMBERS = """
    ALTER TABLE deployments DROP COLUMN mark_number;
    DROP TRIGGER deployments_number_mark ON deployments;
    DROP FUNCTION number_mark();
    DELETE FROM schema_migrations WHERE version = '0008'
"""
MARK_BEFORE_NUMBERS = "UPDATE deployments SET health = $2, marked_at = clock_timestamp() WHERE id = $1"
"""The statement of the release before, under the app's lock."""


async def test_the_migration_numbers_earlier_marks_and_later_ones_of_older_replicas(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    await stack.deploy(app["id"], workflow["id"])
    first, second = (uuid(row["id"]) for row in (await history(stack, app["id"]))[::-1])
    body = {"workflow_id": workflow["id"]}

    async with stack.database("flowpin_deploy", "deploy") as older:

        async def mark_before_numbers(deployment_id: UUID, health: str) -> None:
            async with older.transaction():
                await lock_app(older, [stack.people.project], uuid(app["id"]))
                await older.execute(MARK_BEFORE_NUMBERS, deployment_id, health)

        async with stack.database("admin", "deploy") as db:
            await db.execute(BEFORE_NUMBERS)
        await mark_before_numbers(second, "good")
        await mark_before_numbers(first, "bad")
        migrator = stack.urls["flowpin_deploy_migrator"]
        await migrations.migrate(migrator, stack.schemas["deploy"], deploy_service.MIGRATIONS)

        refused = await stack.rest("POST", f"/v1/apps/{app['id']}/deploy", body)
        await mark_before_numbers(second, "good")
        deployed = await stack.rest("POST", f"/v1/apps/{app['id']}/deploy", body)
        numbers = await older.fetch("SELECT mark_number FROM deployments WHERE health IS NOT NULL ORDER BY number")
        revision = await older.fetchval("SELECT revision FROM apps")

    assert [number for (number,) in numbers] == [-1, revision - 1]  # a deploy came after the newest mark
    assert refused.refusal == (400, "VERSION_MARKED_BAD", {"force"})
    assert deployed.status == 201


async def test_an_invalid_mark_is_refused(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    [deployed] = await history(stack, app["id"])

    for health, more, named in [("fine", {}, {"health"}), ("", {}, {"health"}), ("bad", {"note": "n" * 513}, {"note"})]:
        assert (await mark(stack, deployed, health, **more)).refusal == (400, "INVALID_REQUEST", named)
    nowhere = await mark(stack, {"id": unknown()}, "bad")
    assert (nowhere.status, nowhere.error["details"]["reason"]) == (404, "DEPLOYMENT_NOT_FOUND")
    assert await deployment_now(stack, deployed) == deployed
