"""PromoteApp deploys the live version, digest and runtime of one environment to another."""

import asyncio

from deploy_service.workflow_client import WorkflowClient
from tests.support.deployments import SERVERLESS, TWO_TO_FIVE, add_runtime, app_now, assert_chain, deprecate, history
from tests.support.stack import Answer, Stack


async def promote(stack: Stack, app, **body) -> Answer:
    return await stack.rest("POST", f"/v1/apps/{app['id']}/promote", body)


async def staged_app(stack: Stack, saves: int = 1, **fields):
    workflow, versions = await stack.workflow(saves=saves, project=stack.people.staged)
    app = await stack.app(
        workflow["id"],
        project_id=str(stack.people.staged),
        environment="staging",
        workflow_version_id=versions[0]["id"],
        **fields,
    )
    return app, workflow, versions


async def test_a_first_promotion_copies_version_runtime_and_config(stack: Stack):
    runtime = await add_runtime(stack, "0.68")
    app, workflow, _ = await staged_app(stack, runtime_id=runtime, deployment_config=TWO_TO_FIVE)
    [source] = await history(stack, app["id"])
    await deprecate(stack, runtime)
    await stack.save(workflow["id"], "newer, and not promoted")

    answer = await promote(stack, app, reason="ready")

    pinned = ("workflow_version", "runtime", "deployment_config")
    assert {name: answer.data[name] for name in pinned} == {name: source[name] for name in pinned}
    assert (answer.status, answer.data["kind"], answer.data["reason"]) == (201, "promote", "ready")
    assert (answer.data["environment"], answer.data["live"]) == ("production", True)
    assert answer.data["source_deployment_id"] == source["id"]
    assert [state.get("deployment_id") for state in (await app_now(stack, app["id"]))["environments"]] == [
        source["id"],
        answer.data["id"],
    ]


async def test_a_promotion_keeps_the_config_of_its_target(stack: Stack):
    app, workflow, versions = await staged_app(stack, saves=2, deployment_config=TWO_TO_FIVE)
    await stack.deploy(app["id"], workflow["id"], deployment_config=SERVERLESS)

    answer = await promote(stack, app)

    assert answer.data["deployment_config"] == SERVERLESS
    assert answer.data["workflow_version_id"] == versions[0]["id"]
    assert answer.data["kind"] == "promote"


async def test_a_promotion_can_be_rolled_back(stack: Stack):
    app, workflow, _ = await staged_app(stack, saves=2)
    before = await stack.deploy(app["id"], workflow["id"])
    await promote(stack, app)

    back = await stack.rest("POST", f"/v1/apps/{app['id']}/rollback", {})

    assert back.data["source_deployment_id"] == before["id"]


async def test_a_promotion_works_while_the_workflow_service_is_down(stack: Stack):
    app, _, _ = await staged_app(stack)
    await stack.stop_workflow_service()

    answer = await promote(stack, app)

    assert (answer.status, answer.data["live"]) == (201, True)


async def test_an_impossible_promotion_is_refused_and_changes_nothing(stack: Stack):
    app, _, _ = await staged_app(stack)
    alone, _ = await stack.workflow()
    single = await stack.app(alone["id"])
    [source] = await history(stack, app["id"])
    await stack.ok("POST", f"/v1/deployments/{source['id']}/health", {"health": "bad"})
    rows = await stack.row_counts()

    for of, body, reason, named in [
        (single, {}, "NO_OTHER_ENVIRONMENT", set()),
        (single, {"from_environment": "production"}, "NO_OTHER_ENVIRONMENT", set()),
        (app, {"environment": "staging"}, "NO_OTHER_ENVIRONMENT", set()),
        (app, {"environment": "staging", "from_environment": "production"}, "NOTHING_LIVE", set()),
        (app, {"from_environment": "production"}, "SAME_ENVIRONMENT", {"from_environment"}),
        (app, {"environment": "moon"}, "ENVIRONMENT_NOT_FOUND", {"environment"}),
        (app, {"from_environment": "moon"}, "ENVIRONMENT_NOT_FOUND", {"from_environment"}),
        (app, {"reason": "r" * 513}, "INVALID_REQUEST", set()),
        (app, {}, "VERSION_MARKED_BAD", {"force"}),
    ]:
        assert (body, *(await promote(stack, of, **body)).refusal) == (body, 400, reason, named)
    assert await stack.row_counts() == rows
    assert (await promote(stack, app, force=True)).status == 201


async def test_a_promotion_fails_when_another_deployment_went_live_in_its_source(stack: Stack, monkeypatch):
    app, workflow, _ = await staged_app(stack, saves=2)

    ask, asked = WorkflowClient.resolve, []

    async def meanwhile(self, *arguments, **options):
        if not asked:
            asked.append(True)
            await stack.deploy(app["id"], workflow["id"], environment="staging")
        return await ask(self, *arguments, **options)

    monkeypatch.setattr(WorkflowClient, "resolve", meanwhile)
    answer = await promote(stack, app)

    assert answer.refusal == (409, "LIVE_MOVED", set())
    assert [row["environment"] for row in await history(stack, app["id"])] == ["staging", "staging"]


async def test_concurrent_promotions_deploys_and_rollbacks_leave_one_live_deployment(stack: Stack):
    app, workflow, _ = await staged_app(stack, saves=2)
    await promote(stack, app)
    path = f"/v1/apps/{app['id']}"

    answers = await asyncio.gather(
        *(
            call
            for _ in range(8)
            for call in (
                promote(stack, app),
                stack.rest("POST", f"{path}/deploy", {"workflow_id": workflow["id"]}),
                stack.rest("POST", f"{path}/rollback", {}),
            )
        )
    )

    rows = (await history(stack, app["id"]))[::-1]
    assert {answer.status for answer in answers} <= {201, 400, 409}
    assert all(answer.error["details"]["reason"] != "INTERNAL" for answer in answers if answer.status != 201)
    assert_chain([row for row in rows if row["environment"] == "production"])
