"""Workflows are listed, renamed, deleted and exported."""

import io
import itertools
import zipfile

import pytest

from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from tests.support.paths import DATA
from tests.support.refusals import refusal
from tests.support.stack import FLOW, Stack
from tests.support.workflows import body_of, workflow_now

UNKNOWN = "01980000-0000-7000-8000-000000000000"


async def names(stack: Stack, query: str = "") -> list[str]:
    path = f"/v1/workflows?project_id={stack.people.project}&page_size=500&{query}"
    return [workflow["name"] for workflow in await stack.ok("GET", path)]


async def test_workflows_are_listed_by_newest_change_by_default(stack: Stack):
    a, b, c = [await stack.draft(name) for name in "abc"]
    await stack.ok("PUT", f"/v1/workflows/{a['id']}", {"description": "changed"})
    await stack.save(b["id"])

    assert await names(stack) == ["b", "a", "c"]
    assert await names(stack, "sort=created_at") == ["a", "b", "c"]
    assert c["created_by"] == str(stack.people.user)


async def test_a_list_of_workflows_shows_everything_except_the_content(stack: Stack):
    workflow, _ = await stack.workflow(saves=2)
    now = await workflow_now(stack, workflow["id"])

    rows = await stack.ok("GET", f"/v1/workflows?project_id={stack.people.project}")

    assert rows == [{key: value for key, value in now.items() if key not in ("flow", "flow_ui")}]


async def test_every_page_of_workflows_in_every_order_is_a_slice_of_the_list(stack: Stack):
    drafts = [await stack.draft(name) for name in ("b", "a", "b", "c", "a-a")]
    await stack.save(drafts[1]["id"])
    rows = await stack.ok("GET", f"/v1/workflows?project_id={stack.people.project}")
    newest_id_first = sorted(rows, key=lambda row: row["id"], reverse=True)

    for sort, size in itertools.product(("name", "-name", "updated_at", "-created_at", "-name,created_at"), (1, 2, 5)):
        truth = newest_id_first
        for key in reversed(sort.split(",")):
            truth = sorted(truth, key=lambda row, key=key: row[key.strip("-")], reverse=key.startswith("-"))
        for page in range(1, 5 // size + 3):
            path = f"/v1/workflows?project_id={stack.people.project}&sort={sort}&page={page}&page_size={size}"
            answer = await stack.rest("GET", path)
            expected = truth[(page - 1) * size : page * size]
            assert [row["id"] for row in answer.data] == [row["id"] for row in expected], path
            assert answer.body["pagination"] == {
                "page": page,
                "page_size": size,
                "page_count": -(-5 // size),
                "total_count": 5,
            }


async def test_workflows_are_filtered_by_status_name_and_time(stack: Stack):
    for name in ("alpha", "beta", "alphabet"):
        await stack.draft(name)
    released, _ = await stack.workflow(name="gamma")
    at = released["created_at"]

    assert await names(stack, "status=draft&sort=name") == ["alpha", "alphabet", "beta"]
    assert await names(stack, "status=released") == ["gamma"]
    assert await names(stack, "name=alpha&sort=name") == ["alpha", "alphabet"]
    assert await names(stack, "name=Alpha") == []
    assert await names(stack, "name=%25") == []
    assert await names(stack, f"created_at:gte={at}") == ["gamma"]
    assert await names(stack, f"created_at:lte={at}&sort=name&name=be") == ["alphabet", "beta"]
    assert await names(stack, f"created_at:gte={at}&created_at:lte={at}&status=draft") == []
    assert await names(stack, f"updated_at:gte={at}") == ["gamma"]
    assert await names(stack, f"created_at:gt={at}") == []
    assert await names(stack, f"created_at:lt={at}&sort=name") == ["alpha", "alphabet", "beta"]


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("page=0", "page"),
        ("page_size=501", "page_size"),
        ("sort=id", "sort"),
        ("status=latest", "status"),
        ("created_at:gte=yesterday", "created_at.gte"),
        ("page=x", "page"),
    ],
)
async def test_a_wrong_query_for_workflows_is_refused_by_name(shared_stack: Stack, query: str, wrong: str):
    answer = await shared_stack.rest("GET", f"/v1/workflows?project_id={shared_stack.people.project}&{query}")

    assert answer.status == 400
    assert {key.replace(":", ".") for key in answer.error["details"]} - {"reason"} == {wrong}


async def test_an_unknown_status_of_workflows_is_refused_over_grpc(shared_stack: Stack):
    for status in (0, 9):
        request = pb.ListWorkflowsRequest(project_id=str(shared_stack.people.project), status=status)

        error = await refusal(shared_stack.workflows.ListWorkflows(request, metadata=shared_stack.as_()))

        assert (error.reason, list(error.fields)) == ("INVALID_REQUEST", ["status"])


async def test_workflows_are_visible_in_their_own_project_only(stack: Stack):
    workflow = await stack.draft("mine")
    await stack.draft("theirs", project=stack.people.foreign, token="stranger")

    assert await names(stack) == ["mine"]
    for method, path, body in (
        ("GET", "", None),
        ("PUT", "", {"name": "stolen"}),
        ("DELETE", "", None),
        ("POST", "/save", body_of()),
        ("POST", "/release", body_of(name="stolen")),
        ("GET", "/versions", None),
    ):
        answer = await stack.rest(method, f"/v1/workflows/{workflow['id']}{path}", body, token="stranger")
        unknown = await stack.rest(method, f"/v1/workflows/{UNKNOWN}{path}", body, token="stranger")
        assert (answer.status, answer.error["details"]["reason"]) == (404, "WORKFLOW_NOT_FOUND")
        assert answer.content.replace(workflow["id"].encode(), UNKNOWN.encode()) == unknown.content
    assert await workflow_now(stack, workflow["id"]) == workflow


async def test_an_update_of_a_workflow_changes_the_given_texts_and_no_flow(stack: Stack):
    workflow, _ = await stack.workflow(name="before")
    path = f"/v1/workflows/{workflow['id']}"
    before = await workflow_now(stack, workflow["id"])

    await stack.ok("PUT", path, {"name": "after"})
    updated = await stack.ok("PUT", path, {"description": "said", "flow": {"nodes": []}, "flow_ui": 7})

    assert updated == before | {"name": "after", "description": "said", "updated_at": updated["updated_at"]}
    assert await workflow_now(stack, workflow["id"]) == updated


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"name": ""}, "name"),
        ({"name": "No"}, "name"),
        ({"name": 7}, "name"),
        ({"description": "x" * 513}, "description"),
    ],
)
async def test_an_invalid_update_of_a_workflow_changes_nothing(shared_stack: Stack, body: dict, wrong: str):
    workflow = await shared_stack.draft()

    answer = await shared_stack.rest("PUT", f"/v1/workflows/{workflow['id']}", body)

    assert answer.status == 400
    assert wrong in answer.error["details"]
    assert await workflow_now(shared_stack, workflow["id"]) == workflow


async def test_deleting_a_draft_removes_its_rows(stack: Stack):
    workflow = await stack.draft()

    answer = await stack.rest("DELETE", f"/v1/workflows/{workflow['id']}", token="editor")

    assert (answer.status, answer.body) == (200, {"message": "deleted", "warnings": []})
    counts = await stack.row_counts()
    assert (counts["workflow.workflows"], counts["workflow.drafts"]) == (0, 0)


async def test_only_an_admin_deletes_a_released_workflow_and_its_rows_are_hidden(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    path = f"/v1/workflows/{workflow['id']}"

    refused = await stack.rest("DELETE", path, token="editor")
    assert (refused.status, refused.error["details"]["reason"]) == (403, "ROLE_TOO_SMALL")
    assert await names(stack) == ["flow"]

    assert (await stack.rest("DELETE", path)).body == {"message": "deleted", "warnings": []}
    assert await names(stack) == []
    for call in ("", "/versions", f"/versions/{versions[0]['id']}"):
        answer = await stack.rest("GET", path + call)
        assert (answer.status, answer.error["details"]["reason"]) == (404, "WORKFLOW_NOT_FOUND")
    for method, call in (("DELETE", ""), ("POST", "/save"), ("POST", f"/versions/{versions[0]['id']}/archive")):
        assert (await stack.rest(method, path + call, body_of())).status == 404
    counts = await stack.row_counts()
    assert (counts["workflow.workflows"], counts["workflow.versions"]) == (1, 2)


async def test_the_export_of_a_workflow_is_a_zip_of_two_files(shared_stack: Stack):
    body = b'{"project_id": "%s", "flow": %s}' % (str(shared_stack.people.project).encode(), FLOW)

    answer = await shared_stack.rest("POST", "/v1/workflows/export", body, token="viewer")

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == "attachment; filename=workflow.zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["config.yaml", "main.py"]
        assert archive.read("config.yaml") == (DATA / "config.yaml").read_bytes()


async def test_the_export_of_a_workflow_with_errors_lists_them(shared_stack: Stack):
    nodes = [
        {"id": "a", "type": "x.Y", "llm": {"type": "x.Z", "connection": 7}},
        {"id": "b", "type": "x.Y", "depends": ["a"]},
    ]
    body = {"project_id": str(shared_stack.people.project), "flow": {"nodes": nodes}}

    answer = await shared_stack.rest("POST", "/v1/workflows/export", body)

    assert (answer.status, answer.error["details"]["reason"]) == (400, "INVALID_FLOW")
    assert list(answer.error["details"]) == ["flow.nodes[0].llm.connection", "flow.nodes[1].depends[0]", "reason"]
