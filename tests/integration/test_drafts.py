"""A draft is released once, by its first save or by a release."""

import json

import pytest

from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from tests.support.refusals import refusal
from tests.support.stack import FLOW, FLOW_UI, Answer, Stack
from tests.support.workflows import OFFICIAL, body_of, flow_of, listed, release, save_request, workflow_now


def assert_not_draft(answer: Answer) -> None:
    assert answer.status == 400, answer.content
    assert answer.error["code"] == "bad_request"
    assert answer.error["message"] == "Only draft workflows can be released."
    assert answer.error["details"]["reason"] == "WORKFLOW_NOT_DRAFT"


async def test_a_draft_has_a_canvas_and_no_version(stack: Stack):
    created = await stack.draft("my-flow")

    read = await workflow_now(stack, created["id"])
    assert read == created
    assert (read["status"], read["version_count"], read["next_version"]) == ("draft", 0, 1)
    assert "latest_version" not in read
    assert (read["flow"], read["flow_ui"]) == (json.loads(FLOW), json.loads(FLOW_UI))
    counts = await stack.row_counts()
    assert (counts["workflow.drafts"], counts["workflow.versions"]) == (1, 0)


async def test_the_first_save_releases_a_draft(stack: Stack):
    workflow = await stack.draft("kept")

    saved = await stack.ok("POST", f"/v1/workflows/{workflow['id']}/save", body_of(flow_of("new")))

    now = await workflow_now(stack, workflow["id"])
    assert (now["status"], now["name"], now["version_count"]) == ("released", "kept", 1)
    assert now["latest_version"] == {
        key: saved[key] for key in ("id", "version", "label", "description", "created_at", "created_by")
    }
    assert now["flow"] == json.loads(flow_of("new"))
    assert (await stack.row_counts())["workflow.drafts"] == 0


async def test_releasing_a_draft_creates_version_1(stack: Stack):
    workflow = await stack.draft()

    released = (await release(stack, workflow["id"], flow_of("new"), name="new-name")).data

    assert released == await workflow_now(stack, workflow["id"])
    assert (released["status"], released["name"], released["latest_version"]["version"]) == ("released", "new-name", 1)
    assert released["flow"] == json.loads(flow_of("new"))
    assert (await stack.row_counts())["workflow.drafts"] == 0


@pytest.mark.parametrize("saves", [0, 1])
async def test_a_second_release_is_refused(shared_stack: Stack, saves: int):
    workflow = await shared_stack.draft()
    await release(shared_stack, workflow["id"], name="first")
    for _ in range(saves):
        await shared_stack.ok("POST", f"/v1/workflows/{workflow['id']}/save", body_of())

    answer = await release(shared_stack, workflow["id"], name="second", headers=OFFICIAL)

    assert_not_draft(answer)
    now = await workflow_now(shared_stack, workflow["id"])
    assert (now["name"], now["version_count"]) == ("first", 1 + saves)


async def test_the_refusal_of_a_second_release_has_the_same_words_over_grpc(shared_stack: Stack):
    workflow = await shared_stack.draft()
    await release(shared_stack, workflow["id"])
    documents = {"flow": pb.Json(utf8=FLOW), "flow_ui": pb.Json(utf8=FLOW_UI)}
    request = pb.ReleaseWorkflowRequest(workflow_id=workflow["id"], name="again", **documents)

    error = await refusal(shared_stack.workflows.ReleaseWorkflow(request, metadata=shared_stack.as_()))

    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "WORKFLOW_NOT_DRAFT")
    assert error.message == "Only draft workflows can be released."


@pytest.mark.parametrize("agent", [None, "curl/8", "xdynamiq-cli/1", "dynamiq-client/1", "dynamiq-cli"])
async def test_another_clients_release_after_a_save_is_refused(shared_stack: Stack, agent: str | None):
    workflow = await shared_stack.draft()
    await shared_stack.ok("POST", f"/v1/workflows/{workflow['id']}/save", body_of())
    before = await workflow_now(shared_stack, workflow["id"])

    answer = await release(shared_stack, workflow["id"], headers={"User-Agent": agent} if agent else {})
    request = pb.ReleaseWorkflowRequest(
        workflow_id=workflow["id"], name="again", flow=pb.Json(utf8=FLOW), flow_ui=pb.Json(utf8=FLOW_UI)
    )
    error = await refusal(
        shared_stack.workflows.ReleaseWorkflow(request, metadata=shared_stack.as_(user_agent="dynamiq-cli/1"))
    )

    assert_not_draft(answer)
    assert error.reason == "WORKFLOW_NOT_DRAFT"
    assert await workflow_now(shared_stack, workflow["id"]) == before


async def test_one_release_of_the_same_meaning_is_accepted_from_the_official_client_after_a_save(shared_stack: Stack):
    workflow = await shared_stack.draft("before")
    saved = await shared_stack.ok("POST", f"/v1/workflows/{workflow['id']}/save", body_of(FLOW, FLOW_UI))
    same = json.dumps(json.loads(FLOW), sort_keys=True).encode()

    path = f"/v1/workflows/{workflow['id']}/release"
    body = body_of(same, b'{"another": "layout"}', name="after")
    first = await shared_stack.rest("POST", path, body, headers=OFFICIAL)
    second = await shared_stack.rest("POST", path, body_of(same, name="never"), headers=OFFICIAL)

    assert first.status == 200
    assert first.data["name"] == "after"
    assert first.data["latest_version"]["id"] == saved["id"]
    assert b'"flow_ui":' + FLOW_UI.strip() in first.content
    assert await listed(shared_stack, workflow["id"]) == [1]
    assert_not_draft(second)
    assert (await workflow_now(shared_stack, workflow["id"]))["name"] == "after"


async def test_the_official_clients_release_is_compared_with_the_latest_version(shared_stack: Stack):
    workflow = await shared_stack.draft()
    for note in ("one", "two"):
        await shared_stack.ok("POST", f"/v1/workflows/{workflow['id']}/save", body_of(flow_of(note)))

    older = await release(shared_stack, workflow["id"], flow_of("one"), headers=OFFICIAL)
    latest = await release(shared_stack, workflow["id"], flow_of("two"), headers=OFFICIAL)

    assert_not_draft(older)
    assert latest.status == 200
    assert await listed(shared_stack, workflow["id"]) == [2, 1]


async def test_a_release_of_another_flow_is_refused_after_a_save(shared_stack: Stack):
    workflow, _ = await shared_stack.workflow()
    before = await workflow_now(shared_stack, workflow["id"])

    assert_not_draft(await release(shared_stack, workflow["id"], flow_of("other"), headers=OFFICIAL))

    assert await workflow_now(shared_stack, workflow["id"]) == before


@pytest.mark.parametrize("name", ["Bad Name", "", "-", "a" * 129, "é"])
async def test_a_wrong_name_in_a_save_is_refused_for_a_draft_and_ignored_for_a_released_workflow(
    shared_stack: Stack, name: str
):
    draft = await shared_stack.draft("kept")
    released, _ = await shared_stack.workflow(name="kept")

    refused = await shared_stack.rest("POST", f"/v1/workflows/{draft['id']}/save", body_of(name=name))
    ignored = await shared_stack.rest("POST", f"/v1/workflows/{released['id']}/save", body_of(name=name))

    assert refused.status == 400
    assert refused.error["details"].keys() == {"name", "reason"}
    assert (await workflow_now(shared_stack, draft["id"])) == draft
    assert (ignored.status, ignored.data["version"]) == (200, 2)
    assert (await workflow_now(shared_stack, released["id"]))["name"] == "kept"


async def test_a_valid_name_in_a_save_renames_a_draft_only(shared_stack: Stack):
    draft = await shared_stack.draft("before")

    for name in ("first", "second"):
        await shared_stack.workflows.SaveWorkflow(
            save_request(draft["id"], name=name), metadata=shared_stack.as_("editor")
        )

    assert (await workflow_now(shared_stack, draft["id"]))["name"] == "first"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"name": "Bad"}, {"name"}),
        ({"name": "good", "description": "x" * 513}, {"description"}),
        ({"name": "good", "description": "\\u0000"}, {"description"}),
        ({}, {"name"}),
    ],
)
async def test_a_release_with_a_wrong_name_or_description_leaves_the_draft(
    shared_stack: Stack, fields: dict, wrong: set[str]
):
    draft = await shared_stack.draft()

    answer = await shared_stack.rest("POST", f"/v1/workflows/{draft['id']}/release", body_of(**fields))

    assert answer.status == 400
    assert answer.error["details"].keys() == wrong | {"reason"}
    assert await workflow_now(shared_stack, draft["id"]) == draft
