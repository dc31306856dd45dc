"""RollbackApp redeploys the newest earlier deployment that is not marked bad, or the named one."""

import asyncio

import pytest

from deploy_service.workflow_client import WorkflowClient
from tests.support.deployments import (
    SERVERLESS,
    TWO_TO_FIVE,
    add_runtime,
    assert_chain,
    cancel,
    deprecate,
    history,
    unknown,
    until_ended,
)
from tests.support.stack import Answer, Stack, running_stack


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch):
    """On a busy machine an answer after one second does not mean that the workflow service is down."""
    monkeypatch.setattr("deploy_service.workflow_client.ASK_ABOUT_KNOWN_SECONDS", 5)


async def app_with(stack: Stack, saves: int, **fields):
    """An app that had each version live once, in order, and its deployments, oldest first."""
    workflow, versions = await stack.workflow(saves=saves)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"], **fields)
    for version in versions[1:]:
        await stack.deploy(app["id"], workflow["id"], workflow_version_id=version["id"])
    return app, (await history(stack, app["id"]))[::-1]


async def roll_back(stack: Stack, app, **body) -> Answer:
    return await stack.rest("POST", f"/v1/apps/{app['id']}/rollback", body)


async def mark(stack: Stack, deployment, health: str) -> None:
    await stack.ok("POST", f"/v1/deployments/{deployment['id']}/health", {"health": health})


async def test_each_rollback_goes_one_deployment_further_back_until_none_is_older(stack: Stack):
    app, [first, second, _] = await app_with(stack, 3)

    answers = [await roll_back(stack, app, reason="v3 broke") for _ in range(2)]
    none_left = await roll_back(stack, app)

    assert [answer.status for answer in answers] == [201, 201]
    assert [answer.data["source_deployment_id"] for answer in answers] == [second["id"], first["id"]]
    assert [answer.data["workflow_version"]["version"] for answer in answers] == [2, 1]
    assert [(a.data["kind"], a.data["reason"], a.data["live"]) for a in answers] == [("rollback", "v3 broke", True)] * 2
    assert answers[0].body["message"].startswith(f"Back to flow v2 (deployment {second['id']}), which was live before")
    assert none_left.refusal == (400, "NOTHING_TO_ROLL_BACK_TO", set())
    assert_chain((await history(stack, app["id"]))[::-1])


async def test_a_rollback_does_not_return_to_the_deployment_that_the_last_rollback_left(stack: Stack):
    workflow, versions = await stack.workflow(saves=3)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    [first] = await history(stack, app["id"])
    await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[2]["id"])
    fled = await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[1]["id"])

    answer = await roll_back(stack, app)
    none_left = await roll_back(stack, app)

    assert (fled["kind"], "source_deployment_id" in fled) == ("rollback", False)
    assert answer.data["source_deployment_id"] == first["id"]
    assert none_left.refusal == (400, "NOTHING_TO_ROLL_BACK_TO", set())


async def test_a_rollback_does_not_return_to_deployments_that_an_earlier_rollback_skipped(stack: Stack):
    app, [first, _, _] = await app_with(stack, 3)
    await roll_back(stack, app, deployment_id=first["id"])
    newer = await stack.save(first["workflow_id"], "save 4")
    await stack.deploy(app["id"], first["workflow_id"], workflow_version_id=newer["id"])

    back = await roll_back(stack, app)
    none_left = await roll_back(stack, app)

    assert back.data["workflow_version"]["version"] == 1
    assert none_left.refusal == (400, "NOTHING_TO_ROLL_BACK_TO", set())


async def test_deploying_an_older_version_counts_as_a_rollback(stack: Stack):
    app, [first, second, _] = await app_with(stack, 3)

    by_deploy = await stack.deploy(app["id"], second["workflow_id"], workflow_version_id=second["workflow_version_id"])
    answer = await roll_back(stack, app)

    assert (by_deploy["kind"], by_deploy["source_deployment_id"]) == ("rollback", second["id"])
    assert answer.data["source_deployment_id"] == first["id"]


async def test_a_rollback_takes_version_runtime_and_config_of_its_source(stack: Stack):
    runtime = await add_runtime(stack, "0.68")
    app, [first, second] = await app_with(stack, 2, runtime_id=runtime, deployment_config=TWO_TO_FIVE)
    newer = await add_runtime(stack, "0.70")
    await stack.deploy(
        app["id"], second["workflow_id"], runtime_id=newer, deployment_config={"deployment_type": "serverless"}
    )
    await deprecate(stack, runtime)

    answer = await roll_back(stack, app, deployment_id=first["id"])

    pinned = ("workflow_version", "runtime", "deployment_config")
    assert {name: answer.data[name] for name in pinned} == {name: first[name] for name in pinned}
    assert answer.data["deployment_config"] != SERVERLESS
    assert answer.body["message"] == f"Back to flow v1 (deployment {first['id']}), as asked for."


async def test_rollback_app_works_while_the_workflow_service_is_down(stack: Stack):
    app, [first, _] = await app_with(stack, 2)
    await stack.stop_workflow_service()

    answer = await roll_back(stack, app)

    assert (answer.status, answer.data["live"]) == (201, True)
    assert answer.data["workflow_version"] == first["workflow_version"]
    assert answer.data["warnings"] == [
        "The workflow service did not answer, so it is not known whether the version is archived."
    ]


async def test_a_rollback_skips_bad_deployments_and_bad_versions(stack: Stack):
    app, [first, second, third, _] = await app_with(stack, 4)
    await mark(stack, third, "bad")
    again = await stack.deploy(app["id"], second["workflow_id"], workflow_version_id=second["workflow_version_id"])
    await stack.deploy(app["id"], second["workflow_id"])
    await mark(stack, again, "bad")

    answer = await roll_back(stack, app, force=True)

    # The live deployment replaced `again`, which is bad, and so is its version. Only `first` is left.
    assert answer.data["source_deployment_id"] == first["id"]
    assert (await roll_back(stack, app)).refusal == (400, "NOTHING_TO_ROLL_BACK_TO", set())


async def staged_app(stack: Stack):
    """An app that had three versions live in production in order, and a deployment of v2 in staging."""
    workflow, versions = await stack.workflow(saves=3, project=stack.people.staged)
    fields = {"project_id": str(stack.people.staged), "workflow_version_id": versions[0]["id"]}
    app = await stack.app(workflow["id"], **fields)
    second, _ = [
        await stack.deploy(app["id"], workflow["id"], workflow_version_id=version["id"]) for version in versions[1:]
    ]
    staged = await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[1]["id"], environment="staging")
    return app, second, staged


async def test_a_rollback_skips_a_version_marked_bad_in_another_environment(stack: Stack):
    app, _, staged = await staged_app(stack)
    await mark(stack, staged, "bad")

    answer = await roll_back(stack, app)

    assert answer.data["workflow_version"]["version"] == 1


async def test_a_rollback_skips_a_bad_deployment_whose_version_was_marked_good_later(stack: Stack):
    app, second, staged = await staged_app(stack)
    await mark(stack, second, "bad")
    await mark(stack, staged, "good")

    answer = await roll_back(stack, app)

    assert answer.data["workflow_version"]["version"] == 1


async def test_a_rollback_to_a_bad_deployment_needs_force(stack: Stack):
    app, [first, _] = await app_with(stack, 2)
    await mark(stack, first, "bad")

    refused = await roll_back(stack, app, deployment_id=first["id"])
    forced = await roll_back(stack, app, deployment_id=first["id"], force=True)

    assert refused.refusal == (400, "VERSION_MARKED_BAD", {"force"})
    assert (forced.status, forced.data["live"]) == (201, True)


async def test_an_impossible_rollback_is_refused_and_changes_nothing(stack: Stack):
    workflow, _ = await stack.workflow(project=stack.people.staged)
    staged = str(stack.people.staged)
    app = await stack.app(workflow["id"], project_id=staged)
    other = await stack.app(workflow["id"], project_id=staged, name="other")
    in_staging = await stack.deploy(app["id"], workflow["id"], environment="staging")
    rows = await stack.row_counts()

    for body, reason, named in [
        ({"deployment_id": unknown()}, "DEPLOYMENT_NOT_FOUND", {"deployment_id"}),
        ({"deployment_id": other["latest_deployment_id"]}, "DEPLOYMENT_NOT_FOUND", {"deployment_id"}),
        ({"deployment_id": in_staging["id"]}, "DEPLOYMENT_NOT_FOUND", {"deployment_id"}),
        ({"environment": "moon"}, "ENVIRONMENT_NOT_FOUND", {"environment"}),
        ({"environment": "staging"}, "NOTHING_TO_ROLL_BACK_TO", set()),
        ({}, "NOTHING_TO_ROLL_BACK_TO", set()),
        ({"deployment_id": "x"}, "INVALID_REQUEST", {"deployment_id"}),
        ({"reason": "r" * 513}, "INVALID_REQUEST", set()),
    ]:
        assert (await roll_back(stack, app, **body)).refusal == (400, reason, named)
    assert await stack.row_counts() == rows


async def test_a_rollback_to_a_deployment_that_was_never_live_is_refused(unstarted: Stack):
    script = {"rollout_driver": "scripted", "rollout_script": "ok,hang,hang"}
    async with running_stack(unstarted, deploy=script) as stack:
        workflow, _ = await stack.workflow()
        app = await stack.app(workflow["id"])
        [first] = await history(stack, app["id"])
        await until_ended(stack, first)
        hangs = await stack.deploy(app["id"], workflow["id"])
        await cancel(stack, hangs)

        answer = await roll_back(stack, app, deployment_id=hangs["id"])
        under_way = await roll_back(stack, app, deployment_id=first["id"])
        await cancel(stack, under_way.data)

        assert answer.refusal == (400, "DEPLOYMENT_NEVER_LIVE", {"deployment_id"})
        assert (under_way.status, under_way.data["status"]) == (201, "pending")
        assert [row["live"] for row in await history(stack, app["id"])] == [False, False, True]


async def test_concurrent_rollbacks_each_go_back_one_step_or_fail_with_live_moved(stack: Stack):
    app, rows = await app_with(stack, 6)

    answers = await asyncio.gather(*(roll_back(stack, app) for _ in range(10)))

    made = [answer for answer in answers if answer.status == 201]
    others = {(answer.status, answer.error["details"]["reason"]) for answer in answers if answer.status != 201}
    now = await history(stack, app["id"])
    assert made
    assert others <= {(409, "LIVE_MOVED"), (400, "NOTHING_TO_ROLL_BACK_TO")}
    assert len({answer.data["source_deployment_id"] for answer in made}) == len(made)
    assert len(now) == len(rows) + len(made)
    assert_chain(now[::-1])


async def test_a_rollback_without_a_named_source_fails_when_the_live_deployment_changes(stack: Stack, monkeypatch):
    app, [first, second, _] = await app_with(stack, 3)
    body = {"workflow_id": second["workflow_id"], "workflow_version_id": second["workflow_version_id"]}
    ask, asked = WorkflowClient.resolve, []

    async def meanwhile(self, *arguments, **options):
        if not asked:
            asked.append(True)
            await stack.deploy(app["id"], **body)
        return await ask(self, *arguments, **options)

    monkeypatch.setattr(WorkflowClient, "resolve", meanwhile)
    moved = await roll_back(stack, app)
    asked.clear()
    named = await roll_back(stack, app, deployment_id=first["id"])

    assert moved.refusal == (409, "LIVE_MOVED", set())
    assert (named.status, named.data["source_deployment_id"]) == (201, first["id"])


@pytest.mark.parametrize("call", ["rollback", "promote"])
async def test_concurrent_rollbacks_with_one_key_happen_once(stack: Stack, call):
    workflow, versions = await stack.workflow(saves=2, project=stack.people.staged)
    app = await stack.app(workflow["id"], project_id=str(stack.people.staged), workflow_version_id=versions[0]["id"])
    for environment in ("production", "staging"):
        await stack.deploy(app["id"], workflow["id"], environment=environment)
    path, key = f"/v1/apps/{app['id']}/{call}", {"Idempotency-Key": "one"}

    answers = await asyncio.gather(*(stack.rest("POST", path, {}, headers=key) for _ in range(10)))
    again = await stack.rest("POST", path, {}, headers=key)
    another = await stack.rest("POST", path, {"reason": "another"}, headers=key)

    made = {answer.content for answer in answers if answer.status == 201}
    assert made == {again.content}
    assert again.headers["Idempotent-Replayed"] == "true"
    assert another.refusal == (409, "IDEMPOTENCY_KEY_REUSED", set())
    assert len(await history(stack, app["id"])) == 4
