"""Each change of a workflow has one audit event with its author, time and request. Nothing else has one."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from service_kit.ids import new_id
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from tests.support.paths import DATA
from tests.support.refusals import refusal
from tests.support.stack import Answer, Stack
from tests.support.workflows import OFFICIAL, body_of, save_request

CONFIG = (DATA / "config.yaml").read_text()


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """Shared by all tests of this module; each test creates its own workflows."""
    return shared_stack


async def events(stack: Stack, workflow_id: str, query: str = "page_size=500", **options: Any) -> Any:
    return await stack.ok("GET", f"/v1/workflows/{workflow_id}/audit-events?{query}", **options)


async def rows(stack: Stack) -> int:
    return (await stack.row_counts())["workflow.audit_events"]


DELETED = {"version": "v1", "identical": "v2"}
"""All versions below have the same flow: v2 was identical to v1."""
CHANGES: list[tuple[str, str, str, Any, dict[str, str], Callable[[dict[str, Any]], str]]] = [
    ("UpdateWorkflow", "PUT", "", {"name": "b"}, {"name": "b"}, lambda ids: ids["workflow"]),
    ("UpdateWorkflow", "PUT", "", {"description": "d"}, {}, lambda ids: ids["workflow"]),
    ("SaveWorkflow", "POST", "/save", body_of(), {"version": "v1"}, lambda ids: ids["answer"]),
    ("ReleaseWorkflow", "POST", "/release", body_of(name="c"), {"name": "c"}, lambda ids: ids["workflow"]),
    ("SaveWorkflow", "POST", "/save", body_of(), {"version": "v2"}, lambda ids: ids["answer"]),
    ("SaveWorkflow", "POST", "/save", body_of(base_version_id="<2>"), {"version": "v3"}, lambda ids: ids["answer"]),
    ("ArchiveVersion", "POST", "/versions/1/archive", None, {"version": "v1"}, lambda ids: ids["versions"][1]),
    ("UnarchiveVersion", "POST", "/versions/1/unarchive", None, {"version": "v1"}, lambda ids: ids["versions"][1]),
    ("RestoreVersion", "POST", "/versions/1/restore", None, {"version": "v4"}, lambda ids: ids["answer"]),
    ("DeleteVersion", "DELETE", "/versions/1", None, DELETED, lambda ids: ids["versions"][1]),
    ("DeleteWorkflow", "DELETE", "", None, {}, lambda ids: ids["workflow"]),
]


async def test_every_change_of_a_workflow_writes_one_audit_event(stack: Stack):
    workflow_id = (await stack.draft(name="a"))["id"]
    path, versions = f"/v1/workflows/{workflow_id}", {}

    for action, method, call, sent, details, target in CHANGES:
        body = sent.replace(b"<2>", versions[2].encode()) if isinstance(sent, bytes) and b"<2>" in sent else sent
        before, request_id = await rows(stack), f"request-{action}"
        answer = await stack.rest(method, path + call, body, headers={"X-Request-Id": request_id, **OFFICIAL})
        assert answer.status < 300, action
        data = answer.body.get("data", {})
        if "version" in data:
            versions[data["version"]] = data["id"]
        assert await rows(stack) == before + 1, action
        event = (await events(stack, workflow_id))[0]
        assert event["target_id"] == target({"workflow": workflow_id, "answer": data.get("id"), "versions": versions})
        assert event.pop("created_at").endswith("Z")
        assert event.keys() >= {"id", "target_id"}
        assert {key: event[key] for key in event.keys() - {"id", "target_id"}} == {
            "action": action,
            "actor_id": str(stack.people.user),
            "actor_name": "Ada Lovelace",
            "token_id": "tok_admin",
            "request_id": request_id,
            "details": details,
        }

    found = await events(stack, workflow_id)
    assert [event["action"] for event in found] == [*(change[0] for change in reversed(CHANGES)), "CreateWorkflow"]
    assert found[-1]["details"] == {"name": "a"}


async def test_every_call_that_creates_a_workflow_writes_one_audit_event(stack: Stack):
    source, _ = await stack.workflow()
    project = str(stack.people.project)
    calls = {
        "CreateWorkflow": ("", body_of(name="n", project_id=project), {"name": "n"}),
        "ImportWorkflow": ("/import", {"name": "n", "project_id": project, "config": CONFIG}, {"name": "n"}),
        "ForkWorkflow": (f"/{source['id']}/fork", {"name": "n"}, {"version": "v1"}),
    }

    for action, (call, body, details) in calls.items():
        before = await rows(stack)
        made = await stack.ok("POST", f"/v1/workflows{call}", body, token="editor")
        (event,) = await events(stack, made["id"])
        target = made.get("latest_version", made)["id"]
        assert (event["action"], event["target_id"], event["details"]) == (action, target, details)
        assert event["token_id"] == "tok_editor"
        assert await rows(stack) == before + 1


async def test_the_audit_event_of_a_release_names_its_version(stack: Stack):
    workflow_id = (await stack.draft())["id"]

    released = await stack.ok("POST", f"/v1/workflows/{workflow_id}/release", body_of(name="n"))

    event = (await events(stack, workflow_id))[0]
    assert (event["action"], event["details"]) == ("ReleaseWorkflow", {"version": "v1"})
    assert event["target_id"] == released["latest_version"]["id"]


async def test_the_request_id_of_a_grpc_callers_audit_event_comes_from_its_metadata(stack: Stack):
    workflow_id = (await stack.draft())["id"]

    await stack.workflows.SaveWorkflow(save_request(workflow_id), metadata=stack.as_(x_request_id="r-1"))
    await stack.workflows.SaveWorkflow(save_request(workflow_id), metadata=stack.as_())

    without, given = (await events(stack, workflow_id))[:2]
    assert (given["request_id"], bool(without["request_id"])) == ("r-1", True)


async def test_a_call_that_fails_or_changes_nothing_writes_no_audit_event(stack: Stack):
    workflow, versions = await stack.workflow(saves=3)
    path = f"/v1/workflows/{workflow['id']}"
    await stack.ok("POST", f"{path}/versions/1/archive")
    before = await stack.row_counts()
    stale = body_of(b'{"nodes":[{"id":"a","type":"x.Y"}]}', base_version_id=versions[0]["id"])
    calls: list[tuple[str, str, Any, int]] = [
        ("POST", "/save", stale, 409),
        ("POST", "/release", body_of(name="n"), 400),
        ("POST", "/save", {"flow": {"nodes": []}, "flow_ui": {}}, 400),
        ("PUT", "", {"name": "No Slug"}, 400),
        ("POST", "/versions/3/archive", None, 400),
        ("DELETE", "/versions/3", None, 400),
        ("DELETE", "/versions/9", None, 404),
        ("POST", "/versions/9/restore", None, 404),
        ("POST", "/fork", {"name": "n", "workflow_version_id": str(new_id())}, 400),
        ("POST", "/versions/1/archive", None, 200),
        ("POST", "/versions/2/unarchive", None, 200),
        ("PUT", "", {"name": workflow["name"], "description": ""}, 200),
        ("PUT", "", {}, 200),
        ("GET", "", None, 200),
        ("GET", "/versions/1/diff/2", None, 200),
        ("GET", "/versions/1/export", None, 200),
    ]

    for method, call, body, status in calls:
        assert (await stack.rest(method, path + call, body)).status == status, (method, call)
    for method, call in (("DELETE", ""), ("POST", "/save"), ("POST", "/versions/1/restore")):
        assert (await stack.rest(method, path + call, body_of(), token="viewer")).status == 403

    assert await stack.row_counts() == before


async def test_a_replayed_answer_writes_no_audit_event(stack: Stack):
    workflow, _ = await stack.workflow(saves=2)
    project = str(stack.people.project)
    calls = {
        "": body_of(name="n", project_id=project),
        "/import": {"name": "n", "project_id": project, "config": CONFIG},
        f"/{workflow['id']}/save": body_of(),
        f"/{workflow['id']}/fork": {"name": "n"},
        f"/{workflow['id']}/versions/1/restore": {},
    }

    for call, body in calls.items():
        headers, before = {"Idempotency-Key": str(new_id())}, await rows(stack)
        for _ in range(2):
            assert (await stack.rest("POST", f"/v1/workflows{call}", body, headers=headers)).status < 300
        assert await rows(stack) == before + 1, call


async def test_a_change_whose_audit_event_cannot_be_written_is_rolled_back(stack: Stack):
    workflow, _ = await stack.workflow(saves=2)
    path = f"/v1/workflows/{workflow['id']}"
    async with stack.database("admin", "workflow") as admin:
        await admin.execute("ALTER TABLE audit_events ADD CONSTRAINT no_more CHECK (false) NOT VALID")
        try:
            before = await stack.row_counts(), (await stack.rest("GET", path)).content

            answers: list[Answer] = [
                await stack.rest(method, path + call, body)
                for method, call, body in (
                    ("PUT", "", {"name": "other"}),
                    ("POST", "/save", body_of()),
                    ("POST", "/release", body_of(name="n")),
                    ("POST", "/fork", {"name": "n"}),
                    ("POST", "/versions/1/archive", None),
                    ("POST", "/versions/1/restore", None),
                    ("DELETE", "/versions/1", None),
                    ("DELETE", "", None),
                )
            ]

            assert {answer.status for answer in answers} <= {400, 500}
            assert (await stack.row_counts(), (await stack.rest("GET", path)).content) == before
        finally:
            await admin.execute("ALTER TABLE audit_events DROP CONSTRAINT no_more")


@pytest.mark.parametrize("released", [False, True])
async def test_audit_events_of_deleted_workflows_and_versions_stay_readable(stack: Stack, released: bool):
    workflow_id = (await stack.workflow())[0]["id"] if released else (await stack.draft())["id"]
    before = await events(stack, workflow_id)
    await stack.ok("DELETE", f"/v1/workflows/{workflow_id}")

    found = await events(stack, workflow_id, token="viewer")

    assert (found[0]["action"], found[1:]) == ("DeleteWorkflow", before)


async def test_audit_events_are_not_found_by_a_stranger(stack: Stack):
    workflow_id = (await stack.draft())["id"]

    for subject, token in ((workflow_id, "stranger"), (str(new_id()), "admin")):
        answer = await stack.rest("GET", f"/v1/workflows/{subject}/audit-events", token=token)
        assert (answer.status, answer.error["details"]["reason"]) == (404, "WORKFLOW_NOT_FOUND")


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_events SET actor_name = ''", "UPDATE audit_events SET details = '{}'", "DELETE FROM audit_events"],
)
async def test_the_serving_role_can_neither_change_nor_delete_an_audit_event(stack: Stack, statement: str):
    async with stack.database("flowpin_workflow", "workflow") as serving:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await serving.execute(statement)


async def test_audit_events_are_newest_first_also_within_one_instant(stack: Stack):
    workflow_id = (await stack.draft())["id"]
    await asyncio.gather(*(stack.save(workflow_id) for _ in range(30)))
    labels = [f"v{number}" for number in range(30, 0, -1)]

    pages = [
        await stack.rest("GET", f"/v1/workflows/{workflow_id}/audit-events?page={page}&page_size=10")
        for page in range(1, 6)
    ]

    assert [event["details"].get("version") for page in pages for event in page.data] == [*labels, None]
    assert [page.body["pagination"]["total_count"] for page in pages] == [31] * 5
    assert [len(page.data) for page in pages] == [10, 10, 10, 1, 0]
    request = pb.ListAuditEventsRequest(workflow_id=workflow_id, page=0, page_size=501)
    error = await refusal(stack.workflows.ListAuditEvents(request, metadata=stack.as_()))
    assert (error.reason, set(error.fields)) == ("INVALID_REQUEST", {"page", "page_size"})


async def test_audit_events_keep_the_order_of_changes_after_the_database_clock_is_set_back(stack: Stack):
    workflow, _ = await stack.workflow()
    async with stack.database("admin", "workflow") as db:
        await db.execute(
            "UPDATE audit_events SET created_at = created_at + interval '1 hour' WHERE subject_id = $1",
            UUID(workflow["id"]),
        )
    await stack.save(workflow["id"], "later")
    await stack.ok("PUT", f"/v1/workflows/{workflow['id']}", {"description": "latest"})

    found = await events(stack, workflow["id"])

    actions = ["UpdateWorkflow", "SaveWorkflow", "SaveWorkflow", "CreateWorkflow"]
    assert [event["action"] for event in found] == actions
    assert [
        (await events(stack, workflow["id"], f"page_size=1&page={page}"))[0]["action"] for page in (1, 2, 3, 4)
    ] == (actions)


async def test_audit_events_without_a_number_come_last_ordered_by_time(stack: Stack):
    workflow, _ = await stack.workflow()
    async with stack.database("admin", "workflow") as db:
        await db.execute("UPDATE audit_events SET number = NULL WHERE subject_id = $1", UUID(workflow["id"]))
    await stack.save(workflow["id"], "later")

    found = await events(stack, workflow["id"])

    assert [event["details"] for event in found] == [{"version": "v2"}, {"version": "v1"}, {"name": "flow"}]
