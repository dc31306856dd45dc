"""The audit of a project lists the events of all its workflows and of all its apps."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.support.deployments import unknown
from tests.support.stack import Stack

PATHS = ("/v1/workflow-audit-events", "/v1/app-audit-events")


async def events(stack: Stack, path: str, query: str = "page_size=500", **options: Any) -> Any:
    return await stack.ok("GET", f"{path}?project_id={stack.people.project}&{query}", **options)


async def test_the_audit_of_a_project_lists_events_of_all_workflows_also_of_deleted_ones(stack: Stack):
    kept, [version] = await stack.workflow(name="kept")
    hidden, _ = await stack.workflow(name="hidden")
    draft = await stack.draft(name="draft")
    await stack.draft(name="elsewhere", project=stack.people.staged)
    await stack.ok("PUT", f"/v1/workflows/{kept['id']}", {"name": "renamed"})
    for workflow in (hidden, draft):
        await stack.rest("DELETE", f"/v1/workflows/{workflow['id']}")

    found = await events(stack, PATHS[0], token="viewer")

    assert [(event["action"], event["workflow_id"], event.get("workflow_name")) for event in found] == [
        ("DeleteWorkflow", draft["id"], None),
        ("DeleteWorkflow", hidden["id"], "hidden"),
        ("UpdateWorkflow", kept["id"], "renamed"),
        ("CreateWorkflow", draft["id"], None),
        ("SaveWorkflow", hidden["id"], "hidden"),
        ("CreateWorkflow", hidden["id"], "hidden"),
        ("SaveWorkflow", kept["id"], "renamed"),
        ("CreateWorkflow", kept["id"], "renamed"),
    ]
    assert found[-2]["target_id"] == version["id"]
    assert {event["actor_name"] for event in found} == {"Ada Lovelace"}


async def test_the_audit_of_a_project_lists_events_of_all_apps_without_those_of_access_keys(stack: Stack):
    workflow, _ = await stack.workflow()
    kept, deleted = await stack.app(workflow["id"], name="Kept"), await stack.app(workflow["id"], name="Deleted")
    await stack.ok("POST", "/v1/access-keys", {"project_id": str(stack.people.project), "name": "key"})
    deployed = await stack.deploy(kept["id"], workflow["id"])
    await stack.rest("DELETE", f"/v1/apps/{deleted['id']}")

    found = await events(stack, PATHS[1], token="viewer")

    assert [(event["action"], event["app_id"], event["app_name"]) for event in found] == [
        ("DeleteApp", deleted["id"], "Deleted"),
        ("DeployApp", kept["id"], "Kept"),
        ("CreateApp", deleted["id"], "Deleted"),
        ("CreateApp", kept["id"], "Kept"),
    ]
    assert found[1]["target_id"] == deployed["id"]


@pytest.mark.parametrize("path", PATHS)
async def test_pages_and_times_cover_the_audit_of_a_project_once(stack: Stack, path: str):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    for _ in range(3):
        await stack.save(workflow["id"])
        await stack.deploy(app["id"], workflow["id"])
    everything = await events(stack, path)
    middle = everything[2]["created_at"]

    pages = [await events(stack, path, f"page_size=2&page={page}") for page in (1, 2, 3)]
    older = await events(stack, path, f"created_at:lt={quote(middle)}")
    newer = await events(stack, path, f"created_at:gte={quote(middle)}")

    assert [event["id"] for page in pages for event in page] == [event["id"] for event in everything][:6]
    assert [newer, older] == [everything[:3], everything[3:]]


@pytest.mark.parametrize("path", PATHS)
async def test_the_audit_of_an_invisible_project_is_not_found(stack: Stack, path: str):
    answers = [await stack.rest("GET", f"{path}?project_id={unknown()}")]
    answers.append(await stack.rest("GET", f"{path}?project_id={stack.people.project}", token="stranger"))

    assert [(answer.status, answer.error["details"]["reason"]) for answer in answers] == [
        (404, "PROJECT_NOT_FOUND")
    ] * 2
