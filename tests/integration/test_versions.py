"""Archived and other versions in lists and in single reads."""

import itertools

import pytest

from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from tests.support.refusals import refusal
from tests.support.stack import Stack
from tests.support.workflows import listed, workflow_now

UNKNOWN = "01980000-0000-7000-8000-000000000000"


@pytest.mark.parametrize("by", ["id", "latest", "number"])
async def test_the_latest_version_cannot_be_archived(shared_stack: Stack, by: str):
    workflow, versions = await shared_stack.workflow(saves=2)
    ref = {"id": versions[1]["id"], "latest": "latest", "number": "2"}[by]
    path = f"/v1/workflows/{workflow['id']}/versions/{ref}"

    answer = await shared_stack.rest("POST", path + "/archive")
    error = await refusal(
        shared_stack.workflows.ArchiveVersion(
            pb.ArchiveVersionRequest(workflow_id=workflow["id"], version=ref), metadata=shared_stack.as_()
        )
    )

    assert (answer.status, answer.error["code"]) == (400, "bad_request")
    assert answer.error["message"] == error.message == "Cannot archive the latest version of a workflow."
    assert answer.error["details"]["reason"] == error.reason == "VERSION_IS_LATEST"
    assert "archived_at" not in await shared_stack.ok("GET", path)


@pytest.mark.parametrize("by", ["id", "number"])
async def test_an_archived_version_can_be_read_but_is_not_listed(shared_stack: Stack, by: str):
    workflow, versions = await shared_stack.workflow(saves=3)
    ref = {"id": versions[0]["id"], "number": "1"}[by]
    path = f"/v1/workflows/{workflow['id']}/versions/{ref}"

    archived = await shared_stack.ok("POST", path + "/archive", token="editor")

    read = await shared_stack.ok("GET", path)
    assert read["archived_at"] == archived["archived_at"]
    assert read["archived_by"] == str(shared_stack.people.user)
    assert "flow" in read
    assert "flow" not in archived
    assert await listed(shared_stack, workflow["id"]) == [3, 2]
    now = await workflow_now(shared_stack, workflow["id"])
    assert (now["version_count"], now["next_version"], now["latest_version"]["version"]) == (2, 4, 3)


async def test_archiving_a_version_twice_changes_nothing(shared_stack: Stack):
    workflow, _ = await shared_stack.workflow(saves=2)
    path = f"/v1/workflows/{workflow['id']}/versions/1/archive"

    first = await shared_stack.ok("POST", path)
    second = await shared_stack.ok("POST", path)

    assert first == second
    assert (await workflow_now(shared_stack, workflow["id"]))["version_count"] == 1


async def test_unarchiving_restores_a_version_as_it_was(shared_stack: Stack):
    workflow, _ = await shared_stack.workflow(saves=2)
    path = f"/v1/workflows/{workflow['id']}/versions/1"
    before = await shared_stack.ok("GET", path)
    await shared_stack.ok("POST", path + "/archive")

    for _ in range(2):
        await shared_stack.ok("POST", path + "/unarchive")

    assert await shared_stack.ok("GET", path) == before
    assert await listed(shared_stack, workflow["id"]) == [2, 1]
    assert (await workflow_now(shared_stack, workflow["id"]))["version_count"] == 2


async def test_the_number_of_an_archived_version_is_not_used_again(shared_stack: Stack):
    workflow, _ = await shared_stack.workflow(saves=2)
    await shared_stack.ok("POST", f"/v1/workflows/{workflow['id']}/versions/1/archive")

    saved = await shared_stack.save(workflow["id"])

    assert saved["version"] == 3


async def test_only_the_latest_version_is_current(shared_stack: Stack):
    workflow, _ = await shared_stack.workflow(saves=3)

    rows = await shared_stack.ok("GET", f"/v1/workflows/{workflow['id']}/versions")

    assert [(row["version"], row["current"]) for row in rows] == [(3, True), (2, False), (1, False)]
    assert all("flow" not in row and "flow_ui" not in row for row in rows)


@pytest.mark.parametrize("archived", [(), (1,), (12,), (1, 2, 3), (4, 5, 8), (2, 4, 6, 8, 10, 12), tuple(range(1, 13))])
async def test_every_page_is_a_slice_of_the_versions_that_are_not_archived(
    shared_stack: Stack, archived: tuple[int, ...]
):
    workflow, _ = await shared_stack.workflow(saves=13)
    for number in archived:
        await shared_stack.ok("POST", f"/v1/workflows/{workflow['id']}/versions/{number}/archive")
    oldest_first = [number for number in range(1, 14) if number not in archived]

    for sort, size in itertools.product(("version", "-version", "-created_at"), (1, 2, 5, 13, 500)):
        truth = oldest_first if sort == "version" else oldest_first[::-1]
        pages = [truth[start : start + size] for start in range(0, len(truth), size)]
        for page in range(1, len(pages) + 2):
            query = f"page={page}&page_size={size}&sort={sort}"
            answer = await shared_stack.rest("GET", f"/v1/workflows/{workflow['id']}/versions?{query}")
            expected = pages[page - 1] if page <= len(pages) else []
            assert [row["version"] for row in answer.data] == expected, query
            assert answer.body["pagination"] == {
                "page": page,
                "page_size": size,
                "page_count": len(pages),
                "total_count": len(truth),
            }


async def test_the_flat_list_of_versions_equals_the_nested_list(shared_stack: Stack):
    workflow, _ = await shared_stack.workflow(saves=3)

    flat = await shared_stack.rest("GET", f"/v1/workflow-versions?workflow_id={workflow['id']}&page_size=2")

    nested = await shared_stack.rest("GET", f"/v1/workflows/{workflow['id']}/versions?page_size=2")
    assert flat.content == nested.content


async def test_a_draft_has_no_versions(shared_stack: Stack):
    workflow = await shared_stack.draft()
    path = f"/v1/workflows/{workflow['id']}/versions"

    assert await shared_stack.ok("GET", path) == []
    for ref in ("latest", "1"):
        for method, call in (("GET", ""), ("POST", "/archive")):
            answer = await shared_stack.rest(method, f"{path}/{ref}{call}")
            assert (answer.status, answer.error["details"]["reason"]) == (404, "VERSION_NOT_FOUND")


@pytest.mark.parametrize("ref", [UNKNOWN, "3", "2147483647"])
async def test_an_unknown_version_is_a_404(shared_stack: Stack, ref: str):
    workflow, _ = await shared_stack.workflow(saves=2)

    answer = await shared_stack.rest("GET", f"/v1/workflows/{workflow['id']}/versions/{ref}")

    assert (answer.status, answer.error["details"]["reason"]) == (404, "VERSION_NOT_FOUND")


@pytest.mark.parametrize("ref", ["0", "-1", "x", "LATEST", "1.0", "99999999999"])
async def test_an_invalid_name_of_a_version_is_a_404_over_rest_and_a_wrong_field_over_grpc(
    shared_stack: Stack, ref: str
):
    workflow, _ = await shared_stack.workflow()

    answer = await shared_stack.rest("GET", f"/v1/workflows/{workflow['id']}/versions/{ref}")
    error = await refusal(
        shared_stack.workflows.GetVersion(
            pb.GetVersionRequest(workflow_id=workflow["id"], version=ref), metadata=shared_stack.as_()
        )
    )

    assert answer.status == 404
    assert (error.code.name, error.reason, list(error.fields)) == ("INVALID_ARGUMENT", "INVALID_REQUEST", ["version"])


async def test_a_version_is_not_found_under_another_workflow(shared_stack: Stack):
    workflow, _ = await shared_stack.workflow(saves=2)
    _, others = await shared_stack.workflow(saves=2)
    path = f"/v1/workflows/{workflow['id']}/versions/{others[0]['id']}"

    for method, call in (("GET", ""), ("POST", "/archive"), ("POST", "/unarchive")):
        answer = await shared_stack.rest(method, path + call)
        assert (answer.status, answer.error["details"]["reason"]) == (404, "VERSION_NOT_FOUND")


@pytest.mark.parametrize("sort", ["number", "id", "version,", "version;"])
async def test_an_unknown_sort_field_of_versions_is_refused_by_name(shared_stack: Stack, sort: str):
    workflow, _ = await shared_stack.workflow()

    answer = await shared_stack.rest("GET", f"/v1/workflows/{workflow['id']}/versions", token="viewer")
    refused = await shared_stack.rest("GET", f"/v1/workflow-versions?workflow_id={workflow['id']}&sort={sort}")

    assert answer.status == 200
    assert refused.status == 400
    assert "sort" in refused.error["details"]
