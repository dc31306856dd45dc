"""The base version that a save names: `base_version_id`, or an ETag in If-Match."""

import pytest

from service_kit.ids import new_id
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from tests.support.conflicts import UI, assert_names, etag, flow, save, workflow_with_newer_save
from tests.support.refusals import refusal
from tests.support.stack import Stack
from tests.support.workflows import body_of, listed, save_request

UNKNOWN = "01980000-0000-7000-8000-00000000000f"


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """Shared by all tests of this module; each test creates its own workflows."""
    return shared_stack


async def test_grpc_reads_if_match_from_metadata(stack: Stack):
    workflow_id, first, second = await workflow_with_newer_save(stack)
    request = save_request(workflow_id, flow(a=2), UI)
    release_request = pb.ReleaseWorkflowRequest(
        workflow_id=workflow_id, name="n", flow=pb.Json(utf8=flow(a=2)), flow_ui=pb.Json(utf8=UI)
    )

    for metadata in (stack.as_(if_match=f'"{first["id"]}.7"'), stack.as_(if_match=f' W/"{first["id"]}.7.current"')):
        for call in (
            stack.workflows.SaveWorkflow(request, metadata=metadata),
            stack.workflows.ReleaseWorkflow(release_request, metadata=metadata),
        ):
            error = await refusal(call)
            assert (error.code.name, error.reason) == ("ABORTED", "VERSION_CONFLICT")
            assert (error.metadata["version_id"], error.metadata["nodes"]) == (second["id"], "a")


@pytest.mark.parametrize("read", ["", "/versions/latest"])
async def test_a_save_accepts_the_etag_of_the_workflow_or_of_its_version_as_base(stack: Stack, read: str):
    workflow_id, _, second = await workflow_with_newer_save(stack)
    headers = await etag(stack, f"/v1/workflows/{workflow_id}{read}")

    saved = await save(stack, workflow_id, flow(a=3), headers=headers)
    again = await save(stack, workflow_id, flow(a=4), headers=headers)

    assert (saved.status, saved.data["version"]) == (200, second["version"] + 1)
    assert_names(again, saved.data, "a")


async def test_base_version_id_takes_precedence_over_if_match(stack: Stack):
    workflow_id, first, second = await workflow_with_newer_save(stack)
    older, newer = ({"If-Match": f'"{version["id"]}.1"'} for version in (first, second))

    refused = await save(stack, workflow_id, flow(b=1), first["id"], headers=newer)
    saved = await save(stack, workflow_id, flow(b=1), second["id"], headers=older)

    assert (refused.status, saved.status) == (409, 200)


async def test_if_match_accepts_a_list_that_contains_the_latest_version(stack: Stack):
    workflow, (first, second) = await stack.workflow(saves=2)
    path = f"/v1/workflows/{workflow['id']}/save"
    tags = {name: f'"{version["id"]}.1"' for name, version in (("old", first), ("new", second))}
    unknown = f'"{new_id()}.1"'

    stale = await stack.rest("POST", path, body_of(flow(a=1)), headers={"If-Match": f'"x", {unknown},{tags["old"]}'})
    fresh = await stack.rest(
        "POST", path, body_of(flow(a=1)), headers={"If-Match": f'"x" , {tags["old"]}, {tags["new"]}'}
    )

    assert (stale.status, stale.error["details"]["reason"]) == (409, "VERSION_CONFLICT")
    assert fresh.status == 200


@pytest.mark.parametrize("headers", [{}, {"If-Match": "*"}])
async def test_without_a_base_the_last_save_wins(stack: Stack, headers: dict[str, str]):
    workflow_id, _, _ = await workflow_with_newer_save(stack)

    answer = await save(stack, workflow_id, flow(b=2), headers=headers)

    assert (answer.status, answer.data["version"]) == (200, 3)


async def test_a_deleted_version_is_still_a_valid_base_of_a_save(stack: Stack):
    workflow_id, first, second = await workflow_with_newer_save(stack)
    await stack.ok("DELETE", f"/v1/workflows/{workflow_id}/versions/1")

    answer = await save(stack, workflow_id, flow(a=2), first["id"])

    assert_names(answer, second, "a")


@pytest.mark.parametrize("call", ["save", "release"])
async def test_a_base_that_the_workflow_never_had_is_refused_by_name(stack: Stack, call: str):
    workflow_id, _, _ = await workflow_with_newer_save(stack)
    _, others, _ = await workflow_with_newer_save(stack)
    before = await stack.row_counts()

    for base in (str(new_id()), others["id"]):
        path = f"/v1/workflows/{workflow_id}/{call}"
        body = body_of(flow(), UI, name="n", base_version_id=base)
        by_body = await stack.rest("POST", path, body)
        headers = {"If-Match": f'"{base}.1"'}
        by_header = await stack.rest("POST", path, body_of(flow(), UI, name="n"), headers=headers)
        for answer, field in ((by_body, "base_version_id"), (by_header, "if-match")):
            details = {"reason": "BASE_NOT_FOUND", field: "must be a version of the workflow"}
            assert (answer.status, answer.error["details"]) == (400, details)

    assert await stack.row_counts() == before


@pytest.mark.parametrize(
    "value",
    [
        "x",
        '""',
        '"draft"',
        "draft.1",
        f'"{UNKNOWN}"',
        f"{UNKNOWN}.1",
        '"x.1"',
        '"é.1"',
        '"x", "y"',
        f'"{UNKNOWN}.1" "x"',
        ", ".join([f'"{UNKNOWN}.1"'] * 11),
    ],
)
@pytest.mark.parametrize("call", ["save", "release"])
async def test_an_if_match_that_is_not_an_etag_is_refused_by_name(stack: Stack, call: str, value: str):
    workflow_id = (await stack.draft())["id"]

    answer = await stack.rest(
        "POST", f"/v1/workflows/{workflow_id}/{call}", body_of(name="n"), headers={"If-Match": value}
    )

    assert answer.status == 400
    assert {name.lower() for name in answer.error["details"]} == {"if-match", "reason"}
    assert await listed(stack, workflow_id) == []
