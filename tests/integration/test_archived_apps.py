"""An archived app stays live, out of the lists, and closed to deployments."""

from deploy_fixtures import app_now, history, refusal

from tests.stack import Stack


async def names(stack: Stack, query: str = "") -> list[str]:
    answer = await stack.rest("GET", f"/v1/apps?project_id={stack.people.project}&{query}")
    assert answer.body["pagination"]["total_count"] == len(answer.data)
    return [app["name"] for app in answer.data]


async def test_archiving_keeps_what_is_live_and_unarchiving_takes_all_of_it_back(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    path = f"/v1/apps/{app['id']}"

    archived = await stack.ok("POST", f"{path}/archive")
    twice = await stack.ok("POST", f"{path}/archive")
    back = [await stack.ok("POST", f"{path}/unarchive") for _ in range(2)]

    marks = {"archived_at": archived["archived_at"], "archived_by": str(stack.people.user)}
    assert archived == twice == {**app, **marks}
    assert back == [app, app]
    assert await app_now(stack, app["id"]) == app


async def test_lists_leave_archived_apps_out_unless_asked(stack: Stack):
    workflow, _ = await stack.workflow()
    await stack.app(workflow["id"], name="kept")
    gone = await stack.app(workflow["id"], name="gone")

    await stack.ok("POST", f"/v1/apps/{gone['id']}/archive")

    assert await names(stack) == ["kept"]
    assert await names(stack, "archived=true") == ["gone"]
    assert await names(stack, "archived=false&include_archived=true") == ["kept"]
    assert await names(stack, "include_archived=true") == ["gone", "kept"]
    assert await names(stack, f"include_archived=true&workflow_id={workflow['id']}") == ["gone", "kept"]


async def test_nothing_is_deployed_to_an_archived_app(stack: Stack):
    workflow, versions = await stack.workflow(saves=2, project=stack.people.staged)
    app = await stack.app(workflow["id"], project_id=str(stack.people.staged), workflow_version_id=versions[0]["id"])
    await stack.deploy(app["id"], workflow["id"])
    await stack.deploy(app["id"], workflow["id"], environment="staging")
    before = await history(stack, app["id"])
    path = f"/v1/apps/{app['id']}"

    await stack.ok("POST", f"{path}/archive")
    answers = [
        await stack.rest("POST", f"{path}/deploy", {"workflow_id": workflow["id"]}),
        await stack.rest("POST", f"{path}/rollback", {}),
        await stack.rest("POST", f"{path}/promote", {}),
    ]

    assert [refusal(answer) for answer in answers] == [(400, "APP_ARCHIVED", set())] * 3
    assert await history(stack, app["id"]) == before
    await stack.ok("POST", f"{path}/unarchive")
    assert (await stack.deploy(app["id"], workflow["id"]))["live"]
