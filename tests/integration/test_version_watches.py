"""Changes of the versions of a workflow are streamed: each event once and in order, also after a reconnect."""

import asyncio
import random

import pytest

from service_kit.channel import open_channel
from service_kit.ids import new_id
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.pb.flowpin.workflow.v1.workflow_pb2_grpc import WorkflowServiceStub
from service_kit.serving import watches
from tests.support.followers import Follower, drained, name_of
from tests.support.refusals import refusal
from tests.support.stack import Stack, workflow_service_of


def watch(stack: Stack, workflow_id: str, stub: WorkflowServiceStub | None = None, token: str = "viewer"):
    def begin(after: str | None):
        request = pb.WatchVersionsRequest(workflow_id=workflow_id, after=after)
        return (stub or stack.workflows).WatchVersions(request, metadata=stack.as_(token))

    return begin


async def test_saves_and_changes_of_versions_are_events_in_order(shared_stack: Stack):
    workflow = await shared_stack.draft()
    of_workflow = f"/v1/workflows/{workflow['id']}"
    async with Follower(watch(shared_stack, workflow["id"])) as follower:
        first = await shared_stack.save(workflow["id"], "one")
        second = await shared_stack.save(workflow["id"], "two")
        await shared_stack.ok("POST", f"{of_workflow}/versions/1/archive", {})
        await shared_stack.ok("PUT", f"{of_workflow}/versions/2/note", {"note": "good"})
        await shared_stack.ok("PUT", f"{of_workflow}/labels/live", {"workflow_version_id": second["id"]})
        await shared_stack.ok("DELETE", f"{of_workflow}/labels/live")
        await shared_stack.ok("POST", f"{of_workflow}/versions/1/unarchive", {})
        third = await shared_stack.ok("POST", f"{of_workflow}/versions/1/restore", {})
        await shared_stack.ok("DELETE", f"{of_workflow}/versions/1")

        told = await follower.take(9)

    assert told == [
        *("saved", "saved", "archived", "noted", "labeled", "unlabeled", "unarchived", "saved", "deleted"),
    ]
    assert [event.sequence for event in follower.events] == [
        *("1.0", "2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "3.0", "3.1"),
    ]
    ids = [event.version.id for event in follower.events]
    one, two, three = first["id"], second["id"], third["id"]
    assert ids == [one, two, one, two, two, "", one, three, one]
    assert [event.label for event in follower.events[4:6]] == ["live", "live"]
    assert all(event.HasField("at") for event in follower.events)


async def test_each_version_event_arrives_once_across_two_replicas_and_reconnects(stack: Stack):
    workflow, _ = await stack.workflow()
    chance = random.Random(7)
    async with workflow_service_of(stack) as port, open_channel(f"127.0.0.1:{port}") as channel:
        begins = [watch(stack, workflow["id"]), watch(stack, workflow["id"], WorkflowServiceStub(channel))]
        async with Follower(begins[0]) as follower:

            async def save() -> None:
                for number in range(8):
                    await stack.save(workflow["id"], str(number))

            async def note() -> None:
                for number in range(8):
                    await stack.ok("PUT", f"/v1/workflows/{workflow['id']}/versions/1/note", {"note": str(number)})

            changing = [asyncio.create_task(each()) for each in (save, note)]
            for _ in range(16):
                await follower.take(1)
                if chance.random() < 0.4:
                    await follower.reconnect(chance.choice(begins))
            await asyncio.gather(*changing)

    saved = [event.version.version for event in follower.events if name_of(event) == "saved"]
    places = [tuple(map(int, event.sequence.split("."))) for event in follower.events]
    assert saved == list(range(2, 10))
    assert len(set(places)) == 16
    assert places == sorted(places)


async def test_a_version_event_of_another_replica_arrives_immediately(stack: Stack, monkeypatch: pytest.MonkeyPatch):
    """Streams poll once a minute here, so only a notification is fast enough."""
    monkeypatch.setattr(watches, "LOOK_SECONDS", 60)
    workflow, _ = await stack.workflow()
    async with (
        workflow_service_of(stack) as port,
        open_channel(f"127.0.0.1:{port}") as channel,
        Follower(watch(stack, workflow["id"], WorkflowServiceStub(channel))) as follower,
    ):
        await asyncio.sleep(1)
        await stack.save(workflow["id"], "two")

        assert await follower.take(1, 10) == ["saved"]


async def test_all_version_events_arrive_when_there_are_more_than_one_read_returns(
    shared_stack: Stack, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("workflow_service.version_watch.CHANGES_AT_ONCE", 2)
    workflow, _ = await shared_stack.workflow(3)
    path = f"/v1/workflows/{workflow['id']}/versions/1"
    for verb in ("archive", "unarchive", "archive"):
        await shared_stack.ok("POST", f"{path}/{verb}", {})
    follower = Follower(watch(shared_stack, workflow["id"]))
    follower.sequence = "1.0"
    async with follower:
        told = await follower.take(5)

    assert told == ["saved", "saved", "archived", "unarchived", "archived"]


async def test_a_stream_of_version_events_ends_when_its_workflow_is_deleted(shared_stack: Stack):
    workflow, _ = await shared_stack.workflow()
    stream = watch(shared_stack, workflow["id"])(None)
    await stream.read()

    await shared_stack.ok("DELETE", f"/v1/workflows/{workflow['id']}")

    assert (await refusal(drained(stream))).reason == "WORKFLOW_NOT_FOUND"


async def test_workflows_of_others_cannot_be_watched(shared_stack: Stack):
    workflow, _ = await shared_stack.workflow()

    errors = [
        await refusal(drained(watch(shared_stack, workflow["id"], token="stranger")(None))),
        await refusal(drained(watch(shared_stack, str(new_id()))(None))),
    ]

    assert {error.reason for error in errors} == {"WORKFLOW_NOT_FOUND"}


@pytest.mark.parametrize("after", ["x", "", "1", "-1.0", "9.0", "1.1", "1.0.0"])
async def test_a_stream_of_version_events_refuses_an_unknown_sequence(shared_stack: Stack, after: str):
    workflow, _ = await shared_stack.workflow()

    error = await refusal(drained(watch(shared_stack, workflow["id"])(after)))

    assert (error.reason, set(error.fields)) == ("INVALID_REQUEST", {"after"})
