"""A deleted version is hidden permanently. Deployments that pin it keep working."""

import itertools
from typing import Any

import pytest

from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from tests.support.deployments import app_now, stored_flow, until_ended
from tests.support.refusals import refusal
from tests.support.stack import Answer, Stack
from tests.support.workflows import listed, workflow_now


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """Shared by all tests of this module; each test creates its own workflows."""
    return shared_stack


async def delete(stack: Stack, workflow_id: str, ref: object, **options: Any) -> Answer:
    return await stack.rest("DELETE", f"/v1/workflows/{workflow_id}/versions/{ref}", **options)


async def archive(stack: Stack, workflow_id: str, ref: object) -> None:
    await stack.ok("POST", f"/v1/workflows/{workflow_id}/versions/{ref}/archive")


def missing(answer: Answer) -> bool:
    return answer.status == 404 and answer.error["details"]["reason"] == "VERSION_NOT_FOUND"


@pytest.mark.parametrize("by", ["id", "latest", "number"])
async def test_the_latest_version_cannot_be_deleted(stack: Stack, by: str):
    workflow, versions = await stack.workflow(saves=2)
    ref = {"id": versions[1]["id"], "latest": "latest", "number": "2"}[by]
    before = await stack.row_counts()

    answer = await delete(stack, workflow["id"], ref)
    error = await refusal(
        stack.workflows.DeleteVersion(
            pb.DeleteVersionRequest(workflow_id=workflow["id"], version=ref), metadata=stack.as_()
        )
    )

    assert (answer.status, answer.error["code"]) == (400, "bad_request")
    assert answer.error["message"] == error.message == "Cannot delete the latest version of a workflow."
    assert answer.error["details"]["reason"] == error.reason == "VERSION_IS_LATEST"
    assert await listed(stack, workflow["id"]) == [2, 1]
    assert await stack.row_counts() == before


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("by", ["id", "number"])
async def test_a_deleted_version_is_not_found_by_any_call(stack: Stack, by: str, archived: bool):
    workflow, versions = await stack.workflow(saves=3)
    if archived:
        await archive(stack, workflow["id"], 1)

    answer = await delete(stack, workflow["id"], versions[0]["id"] if by == "id" else 1)

    assert (answer.status, answer.body) == (200, {"message": "deleted", "warnings": []})
    path = f"/v1/workflows/{workflow['id']}/versions"
    for ref in (versions[0]["id"], "1"):
        for method, call in (
            *(("GET", ""), ("GET", "/diff/2"), ("GET", "/export"), ("DELETE", "")),
            *(("POST", "/archive"), ("POST", "/unarchive"), ("POST", "/restore")),
        ):
            assert missing(await stack.rest(method, f"{path}/{ref}{call}")), (ref, call)
        assert missing(await stack.rest("GET", f"{path}/2/diff/{ref}"))
    assert await listed(stack, workflow["id"]) == await listed(stack, workflow["id"], "include_archived=true") == [3, 2]
    now = await workflow_now(stack, workflow["id"])
    assert (now["version_count"], now["next_version"], now["latest_version"]["version"]) == (2, 4, 3)


async def test_the_number_of_a_deleted_version_is_not_used_again(stack: Stack):
    workflow, _ = await stack.workflow(saves=2)
    await delete(stack, workflow["id"], 1)

    saved = await stack.save(workflow["id"])

    assert saved["version"] == 3
    await delete(stack, workflow["id"], 2)
    assert await listed(stack, workflow["id"]) == [3]


@pytest.mark.parametrize(("token", "status"), [("viewer", 403), ("editor", 403), ("stranger", 404)])
async def test_deleting_a_version_needs_an_admin(stack: Stack, token: str, status: int):
    workflow, _ = await stack.workflow(saves=2)

    answer = await delete(stack, workflow["id"], 1, token=token)

    assert answer.status == status
    assert await listed(stack, workflow["id"]) == [2, 1]


async def test_a_version_cannot_be_deleted_under_another_workflow(stack: Stack):
    workflow, _ = await stack.workflow(saves=2)
    other, others = await stack.workflow(saves=2)

    assert missing(await delete(stack, workflow["id"], others[0]["id"]))
    assert await listed(stack, other["id"]) == [2, 1]


HIDDEN: list[tuple[set[int], set[int]]] = [
    (set(), {1}),
    (set(), {12}),
    ({1}, {2}),
    ({2, 4, 6}, {1, 4, 12}),
    ({11, 12}, {9, 10}),
    ({1, 2, 3, 4, 5, 6}, {7, 8, 9, 10, 11, 12}),
    (set(range(1, 13)), set(range(1, 13, 2))),
]


@pytest.mark.parametrize(("archived", "deleted"), HIDDEN)
async def test_every_page_is_a_slice_of_the_versions_that_are_not_hidden(
    stack: Stack, archived: set[int], deleted: set[int]
):
    workflow, _ = await stack.workflow(saves=13)
    for number in archived:
        await archive(stack, workflow["id"], number)
    for number in deleted:
        await delete(stack, workflow["id"], number)
    left = [number for number in range(1, 14) if number not in deleted]
    shown = {"true": left, "false": [number for number in left if number not in archived]}

    for with_archived, sort, size in itertools.product(shown, ("version", "-version"), (1, 3, 13)):
        truth = shown[with_archived] if sort == "version" else shown[with_archived][::-1]
        pages = [truth[start : start + size] for start in range(0, len(truth), size)]
        for page, expected in enumerate([*pages, []], 1):
            query = f"page={page}&page_size={size}&sort={sort}&include_archived={with_archived}"
            answer = await stack.rest("GET", f"/v1/workflows/{workflow['id']}/versions?{query}")
            assert [row["version"] for row in answer.data] == expected, query
            assert answer.body["pagination"]["total_count"] == len(truth)
            assert answer.body["pagination"]["page_count"] == len(pages)
    now = await workflow_now(stack, workflow["id"])
    assert (now["version_count"], now["next_version"]) == (len(shown["false"]), 14)


async def test_a_list_with_archived_versions_marks_them(stack: Stack):
    workflow, _ = await stack.workflow(saves=3)
    await archive(stack, workflow["id"], 2)

    nested = await stack.rest("GET", f"/v1/workflows/{workflow['id']}/versions?include_archived=true")
    flat = await stack.rest("GET", f"/v1/workflow-versions?workflow_id={workflow['id']}&include_archived=true")

    assert [(row["version"], "archived_at" in row) for row in nested.data] == [(3, False), (2, True), (1, False)]
    assert flat.content == nested.content


async def test_a_delete_changes_the_etag_of_a_workflow_only_when_its_body_changes(stack: Stack):
    workflow, _ = await stack.workflow(saves=3)
    await archive(stack, workflow["id"], 1)
    path = f"/v1/workflows/{workflow['id']}"
    before = await stack.rest("GET", path)

    await delete(stack, workflow["id"], 1)
    after_an_archived_one = await stack.rest("GET", path)
    await delete(stack, workflow["id"], 2)
    after_a_listed_one = await stack.rest("GET", path)

    assert after_an_archived_one.content == before.content
    assert after_an_archived_one.headers["ETag"] == before.headers["ETag"]
    assert after_a_listed_one.content != before.content
    assert after_a_listed_one.headers["ETag"] != before.headers["ETag"]


async def test_a_deployment_of_a_deleted_version_keeps_working_and_can_be_rolled_back_to(stack: Stack):
    workflow, versions = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    first = await until_ended(stack, {"app_id": app["id"], "id": app["latest_deployment_id"]})
    flow = await stored_flow(stack, first)

    await delete(stack, workflow["id"], 1)

    assert (await app_now(stack, app["id"]))["workflow_version"]["id"] == versions[0]["id"]
    await until_ended(stack, await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[1]["id"]))
    back = await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[0]["id"])
    back = await until_ended(stack, back)
    assert (back["status"], back["live"], back["kind"]) == ("succeeded", True, "rollback")
    assert back["workflow_version"] == first["workflow_version"]
    assert await stored_flow(stack, back) == flow


async def test_a_deleted_version_that_was_never_live_cannot_be_deployed(stack: Stack):
    workflow, versions = await stack.workflow(saves=3)
    app = await stack.app(workflow["id"])
    await until_ended(stack, {"app_id": app["id"], "id": app["latest_deployment_id"]})
    await delete(stack, workflow["id"], 1)
    body = {"workflow_id": workflow["id"], "workflow_version_id": versions[0]["id"]}
    before = await stack.row_counts()

    deploy = await stack.rest("POST", f"/v1/apps/{app['id']}/deploy", body)
    new = await stack.rest("POST", "/v1/apps", body | {"name": "new", "project_id": str(stack.people.project)})

    for answer in (deploy, new):
        assert (answer.status, answer.error["details"]["reason"]) == (400, "VERSION_DELETED")
    assert await stack.row_counts() == before
