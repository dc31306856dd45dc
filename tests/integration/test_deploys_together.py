"""Deploys that wait at the same time share one statement. Each is handled as if it were alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from deploy_service.repository.app_states import find_app_states
from deploy_service.repository.apps import lock_app
from deploy_service.repository.deployment_inserts import NewDeployment, insert_deployments
from deploy_service.repository.deployments import find_live
from service_kit.access.caller import Caller, Principal
from service_kit.access.file import Role, Token, User
from service_kit.db import read_json_as_bytes
from service_kit.hotpath import coalescer
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from tests.support.deployments import assert_chain, foreign_workflow, history
from tests.support.refusals import refusal
from tests.support.stack import Stack
from tests.support.waiting import eventually, start_calls

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1::text::regclass"
BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
STATEMENTS = "SELECT count(DISTINCT xmin::text) FROM deployments WHERE id = ANY($1)"
"""A row's xmin is the transaction that inserted it, and these are statements by themselves."""
NOTED = "SELECT token_id FROM audit_events WHERE action = 'DeployApp' AND subject_id = ANY($1) ORDER BY token_id"


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """Shared by all tests of this module; each test creates its own apps."""
    return shared_stack


@pytest.fixture(autouse=True)
def wait_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next statement waits for a delayed one without a limit."""
    monkeypatch.setattr(coalescer, "LATE_CHANGE_SECONDS", 10)


@asynccontextmanager
async def held_up(stack: Stack, workflow_id: str) -> AsyncIterator[None]:
    """Delay a deploy until the block ends, so that deploys that begin in the block share the next statement."""
    first = await stack.app(workflow_id)
    async with stack.database("admin", "deploy") as db:
        async with db.transaction():
            await db.execute("LOCK TABLE audit_events IN SHARE MODE")
            held = asyncio.ensure_future(deploy(stack, first["id"], workflow_id))

            async def waits() -> bool:
                return bool(await db.fetchval(WAITING, "audit_events"))

            await eventually(waits, 5)
            yield
        await held


async def deploy(stack: Stack, app_id: str, workflow_id: str, token: str = "editor", **fields: Any) -> Any:
    request = pb.DeployAppRequest(app_id=app_id, workflow_id=workflow_id, **fields)
    return (await stack.deploys.DeployApp(request, metadata=stack.as_(token))).data


async def test_deploys_that_share_a_statement_are_decided_separately(stack: Stack):
    workflow, (first, second) = await stack.workflow(saves=2)
    plain, bad, archived, odd, planned, back = [await stack.app(workflow["id"]) for _ in range(6)]
    their_workflow, _ = await foreign_workflow(stack)
    theirs = await stack.ok(
        "POST",
        "/v1/apps",
        {"name": "theirs", "project_id": str(stack.people.foreign), "workflow_id": their_workflow},
        token="stranger",
    )
    [marked] = await history(stack, bad["id"])
    await stack.ok("POST", f"/v1/deployments/{marked['id']}/health", {"health": "bad"})
    await stack.ok("POST", f"/v1/apps/{archived['id']}/archive")

    async with held_up(stack, workflow["id"]):
        calls = await start_calls(
            deploy(stack, plain["id"], workflow["id"]),
            deploy(stack, back["id"], workflow["id"], "admin", workflow_version_id=first["id"]),
            deploy(stack, theirs["id"], their_workflow, "stranger"),
            deploy(stack, bad["id"], workflow["id"]),
            deploy(stack, archived["id"], workflow["id"]),
            deploy(stack, odd["id"], workflow["id"], runtime_id=workflow["id"]),
            deploy(stack, planned["id"], workflow["id"], plan_token="0" * 64),
            deploy(stack, theirs["id"], workflow["id"]),
        )
    written = await asyncio.gather(*calls[:3])
    refused = [(await refusal(call)).reason for call in calls[3:]]

    assert refused == ["VERSION_MARKED_BAD", "APP_ARCHIVED", "RUNTIME_NOT_FOUND", "PLAN_OUTDATED", "APP_NOT_FOUND"]
    assert [(row.kind, row.workflow_version.version) for row in written] == [
        (pb.DEPLOYMENT_KIND_DEPLOY, second["version"]),
        (pb.DEPLOYMENT_KIND_ROLLBACK, first["version"]),
        (pb.DEPLOYMENT_KIND_DEPLOY, 1),
    ]
    async with stack.database("admin", "deploy") as db:
        assert await db.fetchval(STATEMENTS, [row.id for row in written]) == 1
        noted = await db.fetch(NOTED, [row.app_id for row in written])
    assert [row["token_id"] for row in noted] == ["tok_admin", "tok_editor", "tok_stranger"]
    for app in (plain, back):
        assert_chain((await history(stack, app["id"]))[::-1])
    for app in (bad, archived, odd, planned):
        assert len(await history(stack, app["id"])) == 1


async def test_deploys_of_one_app_that_share_a_statement_go_live_in_order(stack: Stack):
    workflow, versions = await stack.workflow(saves=3)
    app, other = await stack.app(workflow["id"]), await stack.app(workflow["id"])

    async with held_up(stack, workflow["id"]):
        calls = await start_calls(
            *(deploy(stack, app["id"], workflow["id"], workflow_version_id=version["id"]) for version in versions),
            deploy(stack, other["id"], workflow["id"]),
        )
    written = await asyncio.gather(*calls)

    rows = (await history(stack, app["id"]))[::-1]
    assert_chain(rows)
    assert {row["id"] for row in rows[1:]} == {row.id for row in written[:3]}
    assert_chain((await history(stack, other["id"]))[::-1])


async def test_a_deploy_is_decided_again_when_its_app_has_changed(stack: Stack):
    workflow, _ = await stack.workflow()
    app, other = await stack.app(workflow["id"]), await stack.app(workflow["id"])
    project = stack.people.project

    async with stack.database("admin", "deploy") as db, asyncio.TaskGroup() as calls, db.transaction():
        await lock_app(db, [project], UUID(app["id"]))
        moved = calls.create_task(refusal(deploy(stack, app["id"], workflow["id"])))

        async def waits() -> bool:
            return bool(await db.fetchval(BLOCKED))

        await eventually(waits, 5)
        # A deploy of another app does not wait for it.
        assert (await deploy(stack, other["id"], workflow["id"])).live
        await db.execute(
            "UPDATE deployments SET health = 'bad', marked_at = clock_timestamp() WHERE app_id = $1", app["id"]
        )

    assert (await moved).reason == "VERSION_MARKED_BAD"
    assert len(await history(stack, app["id"])) == 1


async def test_a_deploy_decided_on_an_outdated_revision_is_not_written(stack: Stack):
    workflow, _ = await stack.workflow()
    app, other = [UUID((await stack.app(workflow["id"]))["id"]) for _ in range(2)]
    project = stack.people.project
    async with stack.database("admin", "deploy") as db:
        await read_json_as_bytes(db)
        live = await find_live(db, project, app, "production")
        keys = [(project, app_id, "production", live.pin.version_id, None, None) for app_id in (app, other)]
        seen = await find_app_states(db, keys)
        await lock_app(db, [project], app)

        news = [
            new(project, app_id, live, standing.revision) for app_id, standing in zip((app, other), seen, strict=True)
        ]
        written = await insert_deployments(db, news)

        now = await find_app_states(db, keys)
    assert list(written) == [news[1].id]
    assert [standing.live.id for standing in now] == [live.id, news[1].id]
    assert now[1].live.warnings == news[1].warnings
    assert len(await history(stack, str(app))) == 1


def new(project: UUID, app: UUID, live: Any, revision: int) -> NewDeployment:
    """A new deployment with the pins of the live one."""
    user = User(id=live.created_by, name="somebody")
    token = Token(id="tok_somebody", user=user.id, sha256="0" * 64, roles={})
    return NewDeployment(
        caller=Caller(Principal(user, token, {}, {}, frozenset()), Role.EDITOR, "a-request", None, None),
        project_id=project,
        app_id=app,
        revision=revision,
        environment=live.environment,
        kind="deploy",
        reason=None,
        pin=live.pin,
        flow=None,
        loadable=None,
        runtime_id=live.runtime_id,
        runtime_version=live.runtime_version,
        runtime_label=live.runtime_label,
        runtime_digest=live.runtime_digest,
        config=live.config,
        warnings=('a "warning"', "ein Hinweis: ü"),
        source_deployment_id=None,
        live=True,
        action=None,
    )
