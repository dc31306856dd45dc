"""The flow that an app pins stays readable after deletes. A delete names the apps where the deleted version is live."""

import json

import pytest

from tests.support.deployments import history, unknown
from tests.support.ports import free_port
from tests.support.stack import Stack, running_stack
from tests.support.waiting import eventually

UNKNOWN = "The deploy service did not answer, so it is not known whether an app still serves this."


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("workflow_service.deploy_client.ASK_SECONDS", 5)
    monkeypatch.setattr("deploy_service.workflow_client.ASK_SECONDS", 25)


async def live_then_deleted(stack: Stack):
    """Deploy v1 and delete it. Returns v1 and its export before the delete, and the path of the deployment."""
    workflow, [first] = await stack.workflow(saves=1)
    path = f"/v1/workflows/{workflow['id']}/versions/{first['id']}"
    version = await stack.ok("GET", path)
    archive = await stack.rest("GET", f"{path}/export")
    app = await stack.app(workflow["id"])
    await stack.save(workflow["id"], "save 2")
    await stack.rest("DELETE", path)
    assert (await stack.rest("GET", path)).status == 404
    [deployment] = await history(stack, app["id"])
    return version, archive, f"/v1/apps/{app['id']}/deployments/{deployment['id']}"


async def test_the_flow_of_a_deployment_is_readable_after_its_version_is_deleted(stack: Stack):
    version, archive, path = await live_then_deleted(stack)

    pinned = await stack.rest("GET", f"{path}/flow", token="viewer")
    exported = await stack.rest("GET", f"{path}/export", token="viewer")

    assert pinned.data["flow"] == version["flow"]
    assert (pinned.data["digest"], pinned.data["workflow_version_id"]) == (version["digest"], version["id"])
    assert pinned.data["workflow_version"]["version"] == 1
    assert exported.content == archive.content
    assert exported.headers["Content-Type"] == archive.headers["Content-Type"] == "application/octet-stream"


async def test_a_pinned_flow_is_readable_but_not_exported_while_the_workflow_service_is_down(stack: Stack):
    version, _, path = await live_then_deleted(stack)

    await stack.stop_workflow_service()
    try:
        pinned = await stack.rest("GET", f"{path}/flow")
        exported = await stack.rest("GET", f"{path}/export")
    finally:
        await stack.start_workflow_service()

    assert pinned.data["flow"] == version["flow"]
    assert exported.refusal == (503, "EXPORT_UNAVAILABLE", set())


@pytest.mark.parametrize("what", ["flow", "export"])
async def test_the_pinned_flow_of_another_app_or_project_is_not_found(stack: Stack, what: str):
    workflow, _ = await stack.workflow(saves=1)
    app, other = await stack.app(workflow["id"]), await stack.app(workflow["id"], name="other")
    [deployment] = await history(stack, app["id"])
    path = f"/deployments/{deployment['id']}/{what}"

    answers = [
        await stack.rest("GET", f"/v1/apps/{other['id']}{path}"),
        await stack.rest("GET", f"/v1/apps/{app['id']}{path}", token="stranger"),
        await stack.rest("GET", f"/v1/apps/{app['id']}/deployments/{unknown()}/{what}"),
    ]

    assert [answer.refusal for answer in answers] == [(404, "DEPLOYMENT_NOT_FOUND", {"deployment_id"})] * 3


async def test_a_pinned_flow_that_the_sdk_cannot_load_is_readable_but_not_exported(stack: Stack):
    draft = await stack.draft()
    flow = {"nodes": [{"id": "a", "type": "dynamiq.nodes.NoSuchNode"}]}
    await stack.ok("POST", f"/v1/workflows/{draft['id']}/save", {"flow": flow, "flow_ui": {}})
    app = await stack.app(draft["id"])
    [deployment] = await history(stack, app["id"])
    path = f"/v1/apps/{app['id']}/deployments/{deployment['id']}"

    pinned = await stack.ok("GET", f"{path}/flow")
    exported = await stack.rest("GET", f"{path}/export")

    assert pinned["flow"] == flow
    assert exported.refusal[:2] == (400, "INVALID_FLOW")


@pytest.mark.parametrize(
    ("limits", "refusal"),
    [
        ({"max_flow_bytes": 1024}, (413, "FLOW_TOO_LARGE")),
        ({"worker_cpu_seconds": 0.004}, (400, "DOCUMENT_TOO_COMPLEX")),
    ],
)
async def test_the_export_of_a_too_large_pinned_flow_is_refused(unstarted: Stack, limits, refusal):
    async with running_stack(unstarted) as stack:
        draft = await stack.draft()
        flow = {**json.loads(json.dumps(draft["flow"])), "notes": [{} for _ in range(100_000)]}
        await stack.ok("POST", f"/v1/workflows/{draft['id']}/save", {"flow": flow, "flow_ui": {}})
        app = await stack.app(draft["id"])
        [deployment] = await history(stack, app["id"])
        await stack.stop_workflow_service()
        await stack.start_workflow_service(**limits)

        answer = await stack.rest("GET", f"/v1/apps/{app['id']}/deployments/{deployment['id']}/export")

        assert answer.refusal[:2] == refusal


async def test_a_deploy_of_a_flow_with_a_long_check_succeeds_at_a_later_try(
    unstarted: Stack, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("deploy_service.workflow_client.ASK_SECONDS", 0.3)
    async with running_stack(unstarted) as stack:
        draft = await stack.draft()
        flow = {**json.loads(json.dumps(draft["flow"])), "notes": [{} for _ in range(100_000)]}
        await stack.ok("POST", f"/v1/workflows/{draft['id']}/save", {"flow": flow, "flow_ui": {}})
        body = {"name": "app", "project_id": str(stack.people.project), "workflow_id": draft["id"]}

        async def is_deployed() -> bool:
            answer = await stack.rest("POST", "/v1/apps", body)
            assert answer.status in (201, 503), answer.content
            return answer.status == 201

        await eventually(is_deployed, 20)


async def test_a_delete_warns_of_the_apps_where_the_version_is_live(unstarted: Stack):
    port = free_port()
    async with running_stack(
        unstarted, workflow={"deploy_target": f"127.0.0.1:{port}"}, deploy={"port": port}
    ) as stack:
        workflow, [first, second, third] = await stack.workflow(saves=3)
        old = await stack.app(workflow["id"], name="Old", workflow_version_id=first["id"])
        new = await stack.app(workflow["id"], name="New", workflow_version_id=third["id"])
        path = f"/v1/workflows/{workflow['id']}"

        of_live = await stack.rest("DELETE", f"{path}/versions/1")
        of_other = await stack.rest("DELETE", f"{path}/versions/{second['id']}")
        of_all = await stack.rest("DELETE", path)

        def warning(app, number: int) -> str:
            flow = f"/v1/apps/{app['id']}/deployments/{app['latest_deployment_id']}/flow"
            return f'The app "{app["name"]}" still has v{number} live in production; {flow} shows its flow.'

        assert of_live.body == {"message": "deleted", "warnings": [warning(old, 1)]}
        assert of_other.body == {"message": "deleted", "warnings": []}
        assert of_all.body == {"message": "deleted", "warnings": [warning(new, 3), warning(old, 1)]}


async def test_the_warning_of_a_delete_counts_the_apps_that_it_does_not_name(unstarted: Stack, monkeypatch):
    monkeypatch.setattr("workflow_service.deploy_client.MOST_WARNINGS", 1)
    port = free_port()
    async with running_stack(
        unstarted, workflow={"deploy_target": f"127.0.0.1:{port}"}, deploy={"port": port}
    ) as stack:
        workflow, _ = await stack.workflow(saves=1)
        for name in ("a", "b", "c"):
            await stack.app(workflow["id"], name=name)

        answer = await stack.rest("DELETE", f"/v1/workflows/{workflow['id']}")

        assert len(answer.body["warnings"]) == 2
        assert answer.body["warnings"][1] == "It is live in 2 more places."


async def test_a_delete_succeeds_with_a_warning_while_the_deploy_service_is_down(unstarted: Stack):
    target = f"127.0.0.1:{free_port()}"
    async with running_stack(unstarted, workflow={"deploy_target": target}) as stack:
        workflow, _ = await stack.workflow(saves=2)
        draft = await stack.draft(name="draft")
        path = f"/v1/workflows/{workflow['id']}"

        answers = [await stack.rest("DELETE", f"{path}/versions/1"), await stack.rest("DELETE", path)]
        of_draft = await stack.rest("DELETE", f"/v1/workflows/{draft['id']}")

        assert [answer.body for answer in answers] == [{"message": "deleted", "warnings": [UNKNOWN]}] * 2
        assert of_draft.body == {"message": "deleted", "warnings": []}
        assert (await stack.rest("GET", path)).status == 404


async def test_live_pins_are_listed_for_one_project_and_workflow(stack: Stack):
    workflow, [first, _] = await stack.workflow(saves=2)
    other, _ = await stack.workflow(name="other", saves=1)
    app = await stack.app(workflow["id"], name="b", workflow_version_id=first["id"])
    await stack.app(other["id"], name="c")
    moved = await stack.app(workflow["id"], name="a", workflow_version_id=first["id"])
    await stack.deploy(moved["id"], workflow["id"])
    gone = await stack.app(workflow["id"], name="d")
    await stack.rest("DELETE", f"/v1/apps/{gone['id']}")
    query = f"/v1/live-pins?project_id={stack.people.project}&workflow_id={workflow['id']}"

    all_pins = await stack.rest("GET", query, token="viewer")
    of_first = await stack.rest("GET", f"{query}&workflow_version_id={first['id']}")
    of_strangers = await stack.rest("GET", query, token="stranger")
    second_page = await stack.rest("GET", f"{query}&page=2&page_size=1")
    wrong_page = await stack.rest("GET", f"{query}&page_size=501")

    assert [(pin["app_name"], pin["version"]) for pin in all_pins.data] == [("a", 2), ("b", 1)]
    assert all_pins.body["pagination"]["total_count"] == 2
    assert of_first.data == [
        {
            "app_id": app["id"],
            "app_name": "b",
            "environment": "production",
            "deployment_id": app["latest_deployment_id"],
            "workflow_id": workflow["id"],
            "workflow_version_id": first["id"],
            "version": 1,
        }
    ]
    assert of_strangers.refusal == (404, "PROJECT_NOT_FOUND", {"project_id"})
    assert [pin["app_name"] for pin in second_page.data] == ["b"]
    assert wrong_page.refusal == (400, "INVALID_REQUEST", {"page_size"})
