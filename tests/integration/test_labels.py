"""A label names a version of a workflow, is moved with a conflict check, and has a history."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from service_kit.ids import new_id
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from tests.support.deployments import app_now, history
from tests.support.refusals import refusal
from tests.support.stack import Answer, Stack, running_stack
from tests.support.workflows import body_of


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """Shared by all tests of this module; each test creates its own workflows."""
    return shared_stack


class Labels:
    """The labels of one workflow with three versions."""

    def __init__(self, stack: Stack, workflow_id: str, versions: list[Any]) -> None:
        self.stack, self.workflow_id = stack, workflow_id
        self.path = f"/v1/workflows/{workflow_id}"
        self.ids = {version["version"]: version["id"] for version in versions}

    async def put(
        self, name: str, number: int | str, headers: Any = None, token: str = "admin", **fields: Any
    ) -> Answer:
        version = self.ids[number] if isinstance(number, int) else number
        body = {"workflow_version_id": version, **fields}
        return await self.stack.rest("PUT", f"{self.path}/labels/{name}", body, headers=headers, token=token)

    async def delete(self, name: str, headers: Any = None, token: str = "admin") -> Answer:
        return await self.stack.rest("DELETE", f"{self.path}/labels/{name}", headers=headers, token=token)

    async def get(self, call: str, **options: Any) -> Answer:
        return await self.stack.rest("GET", self.path + call, **options)

    async def named(self) -> dict[str, int]:
        return {row["name"]: row["version"] for row in (await self.get("/labels")).data}

    async def moves(self, name: str, query: str = "") -> list[tuple[int, int | None]]:
        found = (await self.get(f"/labels/{name}/history?{query}")).data
        return [(row["revision"], row.get("version")) for row in found]


@pytest.fixture
async def labels(stack: Stack) -> Labels:
    workflow, versions = await stack.workflow(saves=3)
    return Labels(stack, workflow["id"], versions)


async def test_the_history_of_a_label_has_its_creation_move_and_removal(labels: Labels):
    made = await labels.put("production", 1)
    moved = await labels.put("production", 2)
    await labels.put("candidate", 3)

    assert (made.status, moved.status) == (200, 200)
    user = str(labels.stack.people.user)
    assert {key: value for key, value in moved.data.items() if key != "moved_at"} == {
        "name": "production",
        "workflow_id": labels.workflow_id,
        "workflow_version_id": labels.ids[2],
        "version": 2,
        "moved_by": user,
        "moved_by_name": "Ada Lovelace",
    }
    assert (await labels.get("/labels/production")).data == moved.data
    assert await labels.named() == {"candidate": 3, "production": 2}

    removed = await labels.delete("production")

    assert (removed.status, removed.body) == (200, {"message": "deleted"})
    assert await labels.named() == {"candidate": 3}
    gone = [await labels.get("/labels/production"), await labels.delete("production")]
    assert [answer.refusal[:2] for answer in gone] == [(404, "LABEL_NOT_FOUND")] * 2
    assert (await labels.get("/versions/@production")).refusal[:2] == (404, "VERSION_NOT_FOUND")
    await labels.put("production", 3)
    assert await labels.moves("production") == [(4, 3), (3, None), (2, 2), (1, 1)]
    assert {row["moved_by"] for row in (await labels.get("/labels/production/history")).data} == {user}


async def test_pages_cover_all_labels_and_the_history_of_a_label_once(labels: Labels):
    for number in (1, 2, 3, 2, 1):
        await labels.put("b", number)
    await labels.put("a", 1)
    await labels.put("c", 1)
    await labels.delete("c")

    pages = [(await labels.get(f"/labels/b/history?page_size=2&page={page}")).body for page in (1, 2, 3, 4)]
    listed = [(await labels.get(f"/labels?page_size=1&page={page}")).body for page in (1, 2, 3)]

    found = [[row["revision"] for row in page["data"]] for page in pages]
    assert found == [[5, 4], [3, 2], [1], []]
    assert {page["pagination"]["total_count"] for page in pages} == {5}
    assert [[row["name"] for row in page["data"]] for page in listed] == [["a"], ["b"], []]
    assert {page["pagination"]["total_count"] for page in listed} == {2}
    for call in ("/labels?page=0", "/labels/b/history?page_size=501"):
        assert (await labels.get(call)).status == 400
    assert (await labels.get("/labels/never/history")).refusal[:2] == (404, "LABEL_NOT_FOUND")


@pytest.mark.parametrize("name", ["latest", "Production", "1", "-a", "a_b", "a" * 64, "é", "a.b", "a%20"])
async def test_an_invalid_name_of_a_label_is_refused_by_name(labels: Labels, name: str):
    answers = [
        await labels.put(name, 1),
        await labels.delete(name),
        await labels.get(f"/labels/{name}"),
        await labels.get(f"/labels/{name}/history"),
    ]

    assert [answer.refusal for answer in answers] == [(404, "INVALID_REQUEST", {"name"})] * 4
    assert await labels.named() == {}


async def test_the_longest_name_of_a_label_is_accepted(labels: Labels):
    assert (await labels.put("a" + "-9" * 31, 1)).status == 200


async def test_a_workflow_has_at_most_a_hundred_names_of_labels_and_can_reuse_them(labels: Labels):
    for number in range(100):
        assert (await labels.put(f"label-{number}", 1)).status == 200
    await labels.delete("label-7")

    one_more = await labels.put("one-more", 1)

    assert one_more.refusal == (400, "TOO_MANY_LABELS", set())
    assert (await labels.put("label-7", 2)).status == 200
    assert (await labels.put("label-8", 2)).status == 200


async def test_the_target_of_a_label_must_be_a_version_of_its_workflow(labels: Labels):
    _, others = await labels.stack.workflow(saves=2)
    deleted = labels.ids[2]
    await labels.stack.rest("DELETE", f"{labels.path}/versions/2")

    for version in (others[0]["id"], deleted, str(new_id()), "@nothing"):
        answer = await labels.put("a", version)
        assert answer.refusal == (400, "VERSION_NOT_FOUND", {"workflow_version_id"})
    for version in ("", "latest", "1", "@", "@A", 1):
        answer = await labels.stack.rest("PUT", f"{labels.path}/labels/a", {"workflow_version_id": version})
        assert answer.refusal == (400, "INVALID_REQUEST", {"workflow_version_id"}), version
    assert await labels.named() == {}


async def test_two_labels_may_name_the_same_version(labels: Labels):
    await labels.put("candidate", 2)

    moved = await labels.put("production", "@candidate")
    await labels.put("candidate", 3)

    assert moved.data["workflow_version_id"] == labels.ids[2]
    assert await labels.named() == {"candidate": 3, "production": 2}


@pytest.mark.parametrize("by", ["etag", "list", "version"])
async def test_a_move_of_a_label_from_an_outdated_state_is_a_conflict_that_names_the_last_move(labels: Labels, by: str):
    seen = await labels.put("a", 1)
    won = await labels.put("a", 2)
    etag = seen.headers["ETag"]

    def expecting(answer: Answer) -> dict[str, Any]:
        tag = answer.headers["ETag"]
        if by == "version":
            return {"expected_version_id": answer.data["workflow_version_id"]}
        return {"headers": {"If-Match": tag if by == "etag" else f'"other", W/{tag}'}}

    lost = await labels.put("a", 3, **expecting(seen))

    assert (lost.status, lost.error["code"]) == (409, "conflict")
    assert lost.error["message"] == "Ada Lovelace moved a to v2 since."
    assert lost.error["details"] == {
        "reason": "LABEL_CONFLICT",
        "author": "Ada Lovelace",
        "author_id": str(labels.stack.people.user),
        "version": "2",
        "version_id": labels.ids[2],
        "moved_at": won.data["moved_at"],
    }
    assert await labels.named() == {"a": 2}
    assert (await labels.put("a", 3, **expecting(won))).status == 200
    assert etag != won.headers["ETag"]


async def test_a_move_of_a_label_to_its_own_version_is_no_conflict_and_changes_nothing(labels: Labels):
    stale = (await labels.put("a", 1)).headers["ETag"]
    there = await labels.put("a", 2)
    rows = await labels.stack.row_counts()

    answers = [await labels.put("a", 2), await labels.put("a", 2, {"If-Match": stale})]

    assert [(answer.status, answer.data, answer.headers["ETag"]) for answer in answers] == [
        (200, there.data, there.headers["ETag"])
    ] * 2
    assert await labels.stack.row_counts() == rows


async def test_a_condition_on_a_missing_label_is_a_conflict(labels: Labels):
    made = await labels.put("a", 1)
    await labels.delete("a")

    for headers in ({"If-Match": made.headers["ETag"]}, {"If-Match": "*"}):
        assert (await labels.put("a", 2, headers)).refusal[:2] == (409, "LABEL_CONFLICT")
    assert (await labels.put("a", 2, expected_version_id=labels.ids[1])).refusal[:2] == (409, "LABEL_CONFLICT")
    assert (await labels.put("a", 2)).status == 200
    # The ETag of the removed label is not the ETag of the new one, though both name a version.
    assert (await labels.put("a", 3, {"If-Match": made.headers["ETag"]})).status == 409
    assert (await labels.put("a", 3, {"If-Match": "*"})).status == 200


async def test_the_removal_of_a_label_checks_for_conflicts(labels: Labels):
    stale = (await labels.put("a", 1)).headers["ETag"]
    now = (await labels.put("a", 2)).headers["ETag"]

    assert (await labels.delete("a", {"If-Match": stale})).refusal[:2] == (409, "LABEL_CONFLICT")
    assert (await labels.delete("a", {"If-Match": now})).status == 200


@pytest.mark.parametrize("value", ["x", '"x"', '"label.a"', ", ".join(f'"label.a.{n}"' for n in range(1, 12))])
async def test_an_if_match_that_is_not_an_etag_of_a_label_is_refused_by_name(labels: Labels, value: str):
    await labels.put("a", 1)

    answers = [await labels.put("a", 2, {"If-Match": value}), await labels.delete("a", {"If-Match": value})]

    assert [answer.refusal for answer in answers] == [(400, "INVALID_REQUEST", {"if-match"})] * 2
    assert await labels.named() == {"a": 1}


async def test_one_of_concurrent_moves_of_a_label_from_one_state_succeeds(labels: Labels):
    etag = (await labels.put("a", 1)).headers["ETag"]
    workflow, versions = labels.workflow_id, [await labels.stack.save(labels.workflow_id, str(n)) for n in range(8)]

    answers = await asyncio.gather(*(labels.put("a", version["id"], {"If-Match": etag}) for version in versions))

    assert sorted(answer.status for answer in answers) == [200, *[409] * 7]
    (won,) = [answer.data["version"] for answer in answers if answer.status == 200]
    assert await labels.named() == {"a": won}
    assert await labels.moves("a") == [(2, won), (1, 1)]
    assert workflow == labels.workflow_id


async def test_concurrent_moves_of_a_label_are_each_in_its_history_once(labels: Labels):
    await asyncio.gather(*(labels.put("a", number) for number in (1, 2, 3) * 5))

    moves = await labels.moves("a", "page_size=500")

    assert [revision for revision, _ in moves] == list(range(len(moves), 0, -1))
    assert moves[0][1] == (await labels.named())["a"]
    numbers = [number for _, number in moves]
    assert all(one != other for one, other in itertools.pairwise(numbers))


async def test_a_repeated_move_of_a_label_with_one_key_gets_the_first_answer_and_moves_nothing(labels: Labels):
    key = {"Idempotency-Key": str(new_id())}
    first = await labels.put("a", 1, key)
    await labels.put("a", 2)

    repeat = await labels.put("a", 1, key)
    other = await labels.put("a", 3, key)

    assert (repeat.status, repeat.content, repeat.headers["ETag"]) == (200, first.content, first.headers["ETag"])
    assert repeat.headers["Idempotent-Replayed"] == "true"
    assert other.refusal[:2] == (409, "IDEMPOTENCY_KEY_REUSED")
    assert await labels.named() == {"a": 2}


async def test_the_etag_of_a_label_changes_exactly_when_its_body_does(labels: Labels):
    before = await labels.put("a", 1)
    await labels.put("b", 1)
    await labels.stack.ok("POST", f"{labels.path}/versions/1/archive")

    same = await labels.get("/labels/a", headers={"If-None-Match": before.headers["ETag"]})
    moved = await labels.put("a", 2)
    after = await labels.get("/labels/a", headers={"If-None-Match": before.headers["ETag"]})

    assert (same.status, after.status) == (304, 200)
    assert (after.headers["ETag"], after.data) == (moved.headers["ETag"], moved.data)


async def test_a_label_is_accepted_wherever_a_version_is_named(labels: Labels):
    await labels.put("old", 1)
    await labels.put("new", 3)
    path = labels.path
    read = await labels.get("/versions/@old")
    encoded = await labels.get("/versions/%40old")
    assert read.content == encoded.content == (await labels.get("/versions/1")).content
    assert read.headers["ETag"] == (await labels.get("/versions/1")).headers["ETag"]

    for call in ("diff/@new", "diff/3", "export"):
        by_label = await labels.get(f"/versions/@old/{call}")
        assert by_label.status == 200
        assert by_label.content == (await labels.get(f"/versions/1/{call.replace('@new', '3')}")).content
    for verb in ("archive", "unarchive"):
        assert (await labels.stack.ok("POST", f"{path}/versions/@old/{verb}"))["id"] == labels.ids[1]
    noted = await labels.stack.ok("PUT", f"{path}/versions/@old/note", {"note": "was fine"})
    assert noted["id"] == labels.ids[1]
    restored = await labels.stack.ok("POST", f"{path}/versions/@old/restore")
    assert (restored["version"], restored["identical_to"], restored["description"]) == (4, 1, "Restored from v1.")
    fork = await labels.stack.ok("POST", f"{path}/fork", {"name": "f", "workflow_version_id": "@old"})
    assert fork["flow"]["note"] == "save 1"
    missing = await labels.stack.rest("POST", f"{path}/fork", {"name": "f", "workflow_version_id": "@nothing"})
    assert missing.refusal == (400, "VERSION_NOT_FOUND", {"workflow_version_id"})
    over_grpc = await labels.stack.workflows.GetVersion(
        pb.GetVersionRequest(workflow_id=labels.workflow_id, version="@new"), metadata=labels.stack.as_()
    )
    assert over_grpc.data.id == labels.ids[3]


@pytest.mark.parametrize("cache_bytes", [0, 32 << 20])
async def test_a_read_by_label_returns_the_version_of_the_last_move(unstarted: Stack, cache_bytes: int):
    async with running_stack(unstarted, workflow={"cache_bytes": cache_bytes}) as stack:
        workflow, versions = await stack.workflow(saves=2)
        labels = Labels(stack, workflow["id"], versions)

        for number in (1, 2) * 10:
            await labels.put("a", number)
            assert (await labels.get("/versions/@a")).data["version"] == number


@pytest.mark.parametrize("ref", ["@nothing", "@latest", "@A", "@", "production"])
async def test_a_read_by_an_unknown_label_is_a_404(labels: Labels, ref: str):
    assert (await labels.get(f"/versions/{ref}")).status == 404


async def test_a_version_with_a_label_cannot_be_deleted(labels: Labels):
    await labels.put("b", 1)
    await labels.put("a", 1)
    before = await labels.stack.row_counts()

    answer = await labels.stack.rest("DELETE", f"{labels.path}/versions/1")

    assert answer.refusal[:2] == (400, "VERSION_LABELED")
    assert answer.error["details"]["labels"] == "a, b"
    assert await labels.stack.row_counts() == before
    await labels.delete("a")
    await labels.put("b", 2)
    assert (await labels.stack.rest("DELETE", f"{labels.path}/versions/1")).status == 200
    assert await labels.moves("b") == [(2, 2), (1, 1)]


async def test_viewers_of_a_workflow_read_its_labels_and_editors_move_them(labels: Labels):
    await labels.put("a", 1)
    calls = ["/labels", "/labels/a", "/labels/a/history", "/versions/@a"]

    assert [(await labels.get(call, token="viewer")).status for call in calls] == [200] * 4
    assert [(await labels.get(call, token="stranger")).refusal[:2] for call in calls] == [
        (404, "WORKFLOW_NOT_FOUND")
    ] * 4
    for token, status in (("viewer", 403), ("stranger", 404)):
        assert (await labels.put("a", 2, token=token)).status == status
        assert (await labels.delete("a", token=token)).status == status
    assert (await labels.put("a", 2, token="editor")).status == 200
    assert await labels.named() == {"a": 2}


@pytest.fixture
async def protecting(unstarted: Stack) -> AsyncIterator[Stack]:
    """A stack whose project allows only admins to move the label production."""
    declared = unstarted.people.declared()
    declared["projects"][0]["protected_labels"] = ["production"]
    unstarted.people.write(declared)
    async with running_stack(unstarted) as stack:
        yield stack


async def test_a_label_that_the_project_protects_is_moved_by_admins_only(protecting: Stack):
    workflow, versions = await protecting.workflow(saves=2)
    labels = Labels(protecting, workflow["id"], versions)
    editor = await labels.put("production", 1, token="editor")
    await labels.put("production", 1)

    moved = await labels.put("production", 2, token="editor")
    removed = await labels.delete("production", token="editor")

    assert [answer.refusal[:2] for answer in (editor, moved, removed)] == [(403, "ROLE_TOO_SMALL")] * 3
    assert await labels.named() == {"production": 1}
    assert (await labels.put("candidate", 2, token="editor")).status == 200
    assert (await labels.put("production", "@candidate")).status == 200
    # In another project the name is free.
    workflow, versions = await protecting.workflow(saves=1, project=protecting.people.staged)
    other = Labels(protecting, workflow["id"], versions)
    assert (await other.put("production", 1, token="editor")).status == 200


async def test_each_move_of_a_label_has_an_audit_event(labels: Labels):
    await labels.put("a", 1)
    await labels.put("a", 2)
    await labels.put("a", 2)
    await labels.delete("a")

    found = (await labels.get("/audit-events")).data[:3]

    assert [(event["action"], event["target_id"], event["details"]) for event in found] == [
        ("DeleteLabel", labels.ids[2], {"label": "a", "previous": "v2"}),
        ("SetLabel", labels.ids[2], {"label": "a", "version": "v2", "previous": "v1"}),
        ("SetLabel", labels.ids[1], {"label": "a", "version": "v1"}),
    ]


async def test_a_move_of_a_label_is_rolled_back_when_its_audit_event_cannot_be_written(stack: Stack, unstarted: Stack):
    async with running_stack(unstarted) as own:
        workflow, versions = await own.workflow(saves=2)
        labels = Labels(own, workflow["id"], versions)
        await labels.put("a", 1)
        async with own.database("admin", "workflow") as admin:
            await admin.execute("ALTER TABLE audit_events ADD CONSTRAINT cannot_be_written CHECK (false) NOT VALID")
        rows = await own.row_counts()

        answers = [await labels.put("a", 2), await labels.put("b", 1), await labels.delete("a")]

        assert [answer.status for answer in answers] == [500] * 3
        assert await own.row_counts() == rows
        assert await labels.named() == {"a": 1}


async def test_a_deploy_by_label_pins_the_version_that_the_label_names_at_that_moment(labels: Labels):
    stack = labels.stack
    await labels.put("production", 1)
    app = await stack.app(labels.workflow_id, workflow_version_id="@production")
    assert app["workflow_version"]["id"] == labels.ids[1]
    body = {"workflow_id": labels.workflow_id, "workflow_version_id": "@production"}

    await labels.put("production", 2)
    assert (await app_now(stack, app["id"]))["workflow_version"]["id"] == labels.ids[1]
    plan = await stack.ok("POST", f"/v1/apps/{app['id']}/deploy/plan", body)
    await labels.put("production", 3)
    outdated = await stack.rest("POST", f"/v1/apps/{app['id']}/deploy", {**body, "plan_token": plan["plan_token"]})
    key = {"Idempotency-Key": str(new_id())}
    deployed = await stack.deploy(app["id"], headers=key, **body)
    await labels.put("production", 1)
    repeated = await stack.deploy(app["id"], headers=key, **body)

    assert outdated.refusal[:2] == (409, "PLAN_OUTDATED")
    assert deployed["workflow_version"]["id"] == labels.ids[3]
    assert repeated == deployed
    assert [row["workflow_version_id"] for row in await history(stack, app["id"])] == [labels.ids[3], labels.ids[1]]
    events = await stack.ok("GET", f"/v1/apps/{app['id']}/audit-events")
    assert [event["details"] for event in events] == [
        {"environment": "production", "version": "v3", "label": "production"},
        {"environment": "production", "version": "v1", "label": "production"},
    ]


@pytest.mark.parametrize(
    ("version", "reason"),
    [("@nothing", "VERSION_NOT_FOUND"), ("@A", "INVALID_REQUEST"), ("3", "INVALID_REQUEST"), ("", "INVALID_REQUEST")],
)
async def test_a_deploy_by_an_unknown_label_is_refused(labels: Labels, version: str, reason: str):
    app = await labels.stack.app(labels.workflow_id)
    body = {"workflow_id": labels.workflow_id, "workflow_version_id": version}

    answers = [
        await labels.stack.rest("POST", f"/v1/apps/{app['id']}/deploy", body),
        await labels.stack.rest(
            "POST", "/v1/apps", {**body, "name": "a", "project_id": str(labels.stack.people.project)}
        ),
    ]

    assert [answer.refusal for answer in answers] == [(400, reason, {"workflow_version_id"})] * 2


async def test_a_draft_has_no_labels_and_no_version_to_label(stack: Stack):
    draft = await stack.draft()
    labels = Labels(stack, draft["id"], [])

    assert await labels.named() == {}
    answer = await labels.put("a", str(new_id()))
    assert answer.refusal == (400, "VERSION_NOT_FOUND", {"workflow_version_id"})


async def test_a_deleted_workflow_has_no_labels_and_a_fork_has_its_own(labels: Labels):
    await labels.put("a", 1)
    fork = await labels.stack.ok("POST", f"{labels.path}/fork", {"name": "fork"})
    await labels.stack.rest("DELETE", labels.path)

    answers = [
        *[await labels.get(call) for call in ("/labels", "/labels/a", "/labels/a/history", "/versions/@a")],
        await labels.put("a", 2),
        await labels.delete("a"),
    ]

    assert [answer.refusal[:2] for answer in answers] == [(404, "WORKFLOW_NOT_FOUND")] * 6
    assert await Labels(labels.stack, fork["id"], []).named() == {}


async def test_the_serving_role_can_neither_rewrite_the_history_of_labels_nor_delete_a_label(labels: Labels):
    await labels.put("a", 1)
    async with labels.stack.database("flowpin_workflow", "workflow") as db:
        for statement in (
            "UPDATE label_moves SET number = 2",
            "DELETE FROM label_moves",
            "DELETE FROM labels",
            "UPDATE labels SET name = 'b'",
        ):
            with pytest.raises(Exception, match="permission denied"):
                await db.execute(statement)


async def test_the_database_refuses_a_label_with_an_invalid_name_or_without_a_version(labels: Labels):
    await labels.put("a", 1)
    async with labels.stack.database("admin", "workflow") as db:
        for change, constraint in (
            ("name = 'latest'", "labels_name"),
            ("name = 'A'", "labels_name"),
            ("number = 9", "labels_version_fkey"),
        ):
            with pytest.raises(Exception, match=constraint):
                await db.execute(f"UPDATE labels SET {change} WHERE workflow_id = $1", labels.workflow_id)


async def test_an_invalid_name_of_a_label_is_refused_over_grpc(labels: Labels):
    request = pb.SetLabelRequest(workflow_id=labels.workflow_id, name="latest", workflow_version_id=labels.ids[1])

    error = await refusal(labels.stack.workflows.SetLabel(request, metadata=labels.stack.as_()))

    assert (error.code.name, error.reason, list(error.fields)) == ("INVALID_ARGUMENT", "INVALID_REQUEST", ["name"])


async def test_a_save_does_not_move_a_label(labels: Labels):
    await labels.put("a", 3)

    await labels.stack.ok("POST", f"{labels.path}/save", body_of())

    assert await labels.named() == {"a": 3}
