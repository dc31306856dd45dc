"""Changes of deployments are streamed: each event once, in the order of the commits, also after a reconnect."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import yaml

from deploy_service import event_numbering
from deploy_service.repository import events
from service_kit.channel import open_channel
from service_kit.ids import new_id
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from service_kit.pb.flowpin.deploy.v1.deploy_pb2_grpc import DeployServiceStub
from service_kit.serving import watches
from tests.support.deployments import cancel, until_deploying, until_ended
from tests.support.followers import Follower, drained
from tests.support.raw_http2 import call_without_reading
from tests.support.refusals import refusal
from tests.support.stack import Stack, deploy_service_of, running_stack
from tests.support.waiting import eventually, start_calls

MARK = "UPDATE deployments SET health = $2, marked_at = clock_timestamp() WHERE id = $1"


def watch(stack: Stack, stub: DeployServiceStub | None = None, token: str = "viewer", **fields: str):
    def begin(after: str | None):
        request = pb.WatchDeploymentsRequest(**fields, after=after)
        return (stub or stack.deploys).WatchDeployments(request, metadata=stack.as_(token))

    return begin


async def live_app(stack: Stack, **fields: object):
    workflow, _ = await stack.workflow(project=fields.get("project_id"))
    return await stack.app(workflow["id"], **fields), workflow


async def mark(stack: Stack, deployment_id: str, health: str = "good") -> None:
    await stack.ok("POST", f"/v1/deployments/{deployment_id}/health", {"health": health})


@asynccontextmanager
async def replica(stack: Stack, **settings: object) -> AsyncIterator[DeployServiceStub]:
    async with deploy_service_of(stack, **settings) as port, open_channel(f"127.0.0.1:{port}") as channel:
        yield DeployServiceStub(channel)


async def test_each_step_of_a_rollout_is_an_event_with_the_deployment_at_that_step(unstarted: Stack):
    script = {"rollout_driver": "scripted", "rollout_script": "ok,ok,fail,delay:60"}
    async with running_stack(unstarted, deploy=script) as stack:
        app, workflow = await live_app(stack)
        path = f"/v1/apps/{app['id']}/deployments"
        [first] = await stack.ok("GET", path)
        await until_ended(stack, first)
        async with Follower(watch(stack, app_id=app["id"])) as follower:
            second = await stack.deploy(app["id"], workflow["id"])
            told = await follower.take(4)
            third = await stack.deploy(app["id"], workflow["id"])
            told += await follower.take(3)
            fourth = await stack.deploy(app["id"], workflow["id"])
            await until_deploying(stack, fourth)
            await cancel(stack, fourth)
            told += await follower.take(3)
            await mark(stack, second["id"], "bad")
            told += await follower.take(1)

    assert told == [
        *("asked_for", "deploying", "ended", "live"),
        *("asked_for", "deploying", "failed"),
        *("asked_for", "deploying", "canceled"),
        "marked",
    ]
    ids = [event.deployment.id for event in follower.events]
    assert ids == [second["id"]] * 2 + [first["id"], second["id"]] + [third["id"]] * 3 + [fourth["id"]] * 3 + [
        second["id"]
    ]
    statuses = [pb.DeploymentStatus.Name(event.deployment.status).rpartition("_")[2] for event in follower.events]
    assert statuses[:2] + statuses[3:] == [
        *("PENDING", "DEPLOYING", "SUCCEEDED"),
        *("PENDING", "DEPLOYING", "FAILED"),
        *("PENDING", "DEPLOYING", "CANCELED"),
        "SUCCEEDED",
    ]
    asked_for, _, ended, live = follower.events[:4]
    assert (asked_for.deployment.live, live.deployment.live, ended.deployment.live) == (False, True, False)
    assert ended.deployment.live_to == live.deployment.live_from
    assert follower.events[6].deployment.error.code
    assert follower.events[-1].deployment.health == pb.DEPLOYMENT_HEALTH_BAD
    assert all(event.HasField("at") for event in follower.events)


async def test_a_stream_does_not_miss_a_change_that_commits_late(stack: Stack):
    """If sequences were assigned before the commit, a stream that had seen a later one would miss this change."""
    held, _ = await live_app(stack)
    free, _ = await live_app(stack)
    project = str(stack.people.project)
    async with stack.database("admin", "deploy") as db, Follower(watch(stack, project_id=project)) as follower:
        holding = db.transaction()
        await holding.start()
        await db.execute(MARK, held["latest_deployment_id"], "bad")
        await mark(stack, free["latest_deployment_id"])
        await follower.take(1)
        await follower.reconnect()

        await holding.commit()
        await follower.take(1)

    assert [event.deployment.id for event in follower.events] == [
        free["latest_deployment_id"],
        held["latest_deployment_id"],
    ]


async def test_the_events_of_an_app_are_in_the_order_of_its_changes_not_of_its_transactions(
    stack: Stack,
):
    app, _ = await live_app(stack)
    other, _ = await live_app(stack)
    project, deployment = str(stack.people.project), app["latest_deployment_id"]
    async with (
        stack.database("admin", "deploy") as early,
        stack.database("admin", "deploy") as late,
        Follower(watch(stack, project_id=project)) as follower,
    ):
        lower = early.transaction()
        await lower.start()
        await early.execute(MARK, other["latest_deployment_id"], "good")  # takes the lower transaction id
        await late.execute(MARK, deployment, "good")
        await early.execute(MARK, deployment, "bad")
        await lower.commit()
        await follower.take(3)

    health = [event.deployment.health for event in follower.events if event.deployment.app_id == app["id"]]
    assert health == [pb.DEPLOYMENT_HEALTH_GOOD, pb.DEPLOYMENT_HEALTH_BAD]


async def test_each_deployment_event_arrives_once_across_two_replicas_and_reconnects(stack: Stack):
    apps = [(await live_app(stack))[0] for _ in range(4)]
    project = str(stack.people.project)
    chance = random.Random(7)
    async with replica(stack) as second:
        begins = [watch(stack, project_id=project), watch(stack, second, project_id=project)]
        async with Follower(begins[0]) as follower:
            first = int(follower.sequence or 0) + 1

            async def change(app):
                for number in range(6):
                    await mark(stack, app["latest_deployment_id"], "bad" if number % 2 else "good")

            changing = [asyncio.create_task(change(app)) for app in apps]
            for _ in range(24):
                await follower.take(1)
                if chance.random() < 0.4:
                    await follower.reconnect(chance.choice(begins))
            await asyncio.gather(*changing)

    assert [int(event.sequence) for event in follower.events] == list(range(first, first + 24))
    for app in apps:
        marks = [event.deployment.health for event in follower.events if event.deployment.app_id == app["id"]]
        assert marks == [pb.DEPLOYMENT_HEALTH_GOOD, pb.DEPLOYMENT_HEALTH_BAD] * 3


async def test_a_deployment_event_of_another_replica_arrives_immediately(stack: Stack, monkeypatch: pytest.MonkeyPatch):
    """Streams and numbering poll once a minute here, so only a notification is fast enough."""
    monkeypatch.setattr(watches, "LOOK_SECONDS", 60)
    monkeypatch.setattr(event_numbering, "LOOK_SECONDS", 60)
    app, _ = await live_app(stack)
    async with replica(stack) as second, Follower(watch(stack, second, app_id=app["id"])) as follower:
        await asyncio.sleep(1)
        await mark(stack, app["latest_deployment_id"])

        assert await follower.take(1, 10) == ["marked"]


async def test_a_stream_of_an_app_has_no_events_of_other_apps(stack: Stack):
    app, _ = await live_app(stack)
    other, _ = await live_app(stack)
    async with Follower(watch(stack, app_id=app["id"])) as follower:
        await mark(stack, other["latest_deployment_id"])
        await mark(stack, app["latest_deployment_id"])

        await follower.take(1)

    assert follower.events[0].deployment.app_id == app["id"]


async def test_all_deployment_events_arrive_when_there_are_more_than_one_read_returns(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("deploy_service.deployment_watch.EVENTS_AT_ONCE", 3)
    monkeypatch.setattr(events, "NUMBERED_AT_ONCE", 4)
    app, _ = await live_app(stack)
    async with Follower(watch(stack, app_id=app["id"])) as follower:
        async with stack.database("admin", "deploy") as db, db.transaction():
            for _ in range(11):
                await db.execute(MARK, app["latest_deployment_id"], "good")

        await follower.take(11)

    sequences = [int(event.sequence) for event in follower.events]
    assert sequences == list(range(sequences[0], sequences[0] + 11))


async def test_a_browser_resumes_a_stream_by_the_id_of_its_last_event(stack: Stack):
    app, workflow = await live_app(stack)
    url = f"http://127.0.0.1:{stack.gateway_port}/v1/apps/{app['id']}/deployments/watch"
    headers = {"Authorization": f"Bearer {stack.people.secret('viewer')}"}
    async with stack.session.get(url, headers=headers) as answer:
        position = await event_of(answer)
        await stack.deploy(app["id"], workflow["id"])
        ended = await event_of(answer)

    again = {**headers, "Last-Event-ID": ended["id"]}
    async with stack.session.get(f"{url}?after={position['id']}", headers=again) as resumed:
        at, live = await event_of(resumed), await event_of(resumed)

    assert answer.headers["Content-Type"] == "text/event-stream"
    assert (position["event"], ended["event"], at["event"], live["event"]) == ("position", "ended", "position", "live")
    assert (at["id"], int(live["id"])) == (ended["id"], int(ended["id"]) + 1)
    assert '"status":"succeeded"' in live["data"]
    async with stack.session.get(
        f"http://127.0.0.1:{stack.gateway_port}/v1/deployments/watch?project_id={stack.people.project}&after=0",
        headers=headers,
    ) as all_of_project:
        told = [(await event_of(all_of_project))["event"] for _ in range(4)]
    assert told == ["position", "live", "ended", "live"]


async def event_of(answer) -> dict[str, str]:
    async with asyncio.timeout(10):
        lines = []
        while (line := (await answer.content.readline()).decode().rstrip("\n")) or not lines:
            if line and not line.startswith(":"):
                lines.append(line)
    return dict(line.split(": ", 1) for line in lines)


async def test_a_deployment_stream_ends_when_its_token_is_revoked_or_loses_the_project(stack: Stack):
    app, _ = await live_app(stack)
    declared = yaml.safe_load(stack.people.path.read_text())
    streams = [watch(stack, token=token, app_id=app["id"])(None) for token in ("viewer", "editor")]
    for stream in streams:
        await stream.read()
    ended = await start_calls(*(refusal(drained(stream)) for stream in streams))
    kept = [token for token in declared["tokens"] if token["id"] != "tok_viewer"]
    for token in kept:
        if token["id"] == "tok_editor":
            token["roles"] = {str(stack.people.staged): "editor"}

    stack.people.write(declared | {"tokens": kept})
    async with asyncio.timeout(4):
        errors = [await each for each in ended]

    assert [error.reason for error in errors] == ["TOKEN_INVALID", "PROJECT_NOT_FOUND"]


@pytest.mark.slow
async def test_the_stream_of_a_caller_that_reads_nothing_ends(stack: Stack, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(watches, "SLOW_SECONDS", 0.5)
    monkeypatch.setattr(watches, "MOST_STREAMS_OF_ONE", 1)
    app, _ = await live_app(stack)
    request = pb.WatchDeploymentsRequest(app_id=app["id"], after="0").SerializeToString()
    path, token = b"/flowpin.deploy.v1.DeployService/WatchDeployments", stack.people.secret("viewer")
    async with stack.database("admin", "deploy") as db, db.transaction():
        for _ in range(2_000):
            await db.execute(
                "UPDATE deployments SET health = $2, health_note = repeat('x', 512), marked_at = now() WHERE id = $1",
                app["latest_deployment_id"],
                "good",
            )

    async with call_without_reading(stack.deploy_port, path, token, request):

        async def has_place() -> bool:
            return not await can_watch(stack, stack.deploys, app["id"])

        await eventually(has_place, 10)
        await eventually(lambda: can_watch(stack, stack.deploys, app["id"]), 30)


async def test_streams_have_a_limit_of_their_own_and_do_not_count_as_calls(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(watches, "MOST_STREAMS_OF_ONE", 1)
    app, _ = await live_app(stack)
    async with replica(stack, max_calls=1, max_calls_at_work=1) as stub:
        async with Follower(watch(stack, stub, app_id=app["id"])):
            read = await stub.GetApp(pb.GetAppRequest(app_id=app["id"]), metadata=stack.as_("viewer"))
            error = await refusal(drained(watch(stack, stub, app_id=app["id"])(None)))
            monkeypatch.setattr(watches, "MOST_STREAMS", 1)
            monkeypatch.setattr(watches, "MOST_STREAMS_OF_ONE", 9)
            others = await refusal(drained(watch(stack, stub, token="service", app_id=app["id"])(None)))
        await eventually(lambda: can_watch(stack, stub, app["id"]))

    assert read.data.id == app["id"]
    assert error.reason == others.reason == "TOO_MANY_REQUESTS"


async def can_watch(stack: Stack, stub: DeployServiceStub, app_id: str) -> bool:
    stream = watch(stack, stub, app_id=app_id)(None)
    try:
        await stream.read()
    except Exception:
        return False
    stream.cancel()
    return True


async def test_the_deploy_service_stops_without_waiting_for_deployment_streams(stack: Stack):
    app, _ = await live_app(stack)
    async with AsyncExitStack() as running:
        port = await running.enter_async_context(deploy_service_of(stack, drain_seconds=60))
        async with open_channel(f"127.0.0.1:{port}") as channel:
            stream = watch(stack, DeployServiceStub(channel), app_id=app["id"])(None)
            await stream.read()
            (ended,) = await start_calls(drained(stream))
            async with asyncio.timeout(30):
                await running.aclose()
            await ended


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "INVALID_REQUEST"),
        ({"app_id": str(new_id()), "project_id": str(new_id())}, "INVALID_REQUEST"),
        ({"app_id": str(new_id())}, "APP_NOT_FOUND"),
        ({"project_id": str(new_id())}, "PROJECT_NOT_FOUND"),
    ],
)
async def test_a_wrong_request_to_watch_deployments_is_refused(
    shared_stack: Stack, fields: dict[str, str], reason: str
):
    error = await refusal(drained(watch(shared_stack, **fields)(None)))

    assert error.reason == reason


@pytest.mark.parametrize("after", ["x", "", "-1", "999", "1.0", "9" * 30])
async def test_a_deployment_stream_refuses_an_unknown_sequence(shared_stack: Stack, after: str):
    error = await refusal(drained(watch(shared_stack, project_id=str(shared_stack.people.staged))(after)))

    assert (error.reason, set(error.fields)) == ("INVALID_REQUEST", {"after"})


async def test_apps_and_projects_of_others_cannot_be_watched(shared_stack: Stack):
    app, _ = await live_app(shared_stack)

    errors = [
        await refusal(drained(watch(shared_stack, token="stranger", app_id=app["id"])(None))),
        await refusal(drained(watch(shared_stack, token="stranger", project_id=app["project_id"])(None))),
    ]

    assert [error.reason for error in errors] == ["APP_NOT_FOUND", "PROJECT_NOT_FOUND"]
