"""When replicas are started, shared, replaced and stopped."""

import asyncio
import time

import aiohttp
import pytest

from tests.support.apps.stand_in_host import flow
from tests.support.apps.stand_in_routing import App
from tests.support.apps.world import Apps, fresh_apps, running_apps
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


def has_replicas(apps: Apps, **counts: int):
    """Whether each named flow has the given number of replicas."""

    async def holds() -> bool:
        return {name: len(apps.host.of_flow(name)) for name in counts} == counts

    return holds


async def test_fifty_concurrent_first_callers_share_one_start_of_a_replica(apps: Apps):
    app = apps.routing.app(apps.people.project)
    app.live["production"] = apps.routing.pin(app, flow("slow", start_seconds=0.5))
    await apps.routing.send(app)
    await apps.routing.taken_up(app)

    answers = await asyncio.gather(*(apps.call(app=app) for _ in range(50)))

    assert {answer.status for answer in answers} == {200}
    assert apps.host.starts["slow"] == 1


async def test_a_serverless_app_without_calls_has_no_replica(apps: Apps):
    await asyncio.sleep(0.3)

    assert apps.host.starts["one"] == 0


async def test_an_idle_serverless_replica_is_stopped_and_started_again(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, idle_seconds=0.5) as apps:
        await apps.call()
        await eventually(has_replicas(apps, one=0))
        again = await apps.call()

        assert again.status == 200
        assert apps.host.starts["one"] == 2


async def test_a_serverless_replica_is_not_stopped_during_a_run(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, idle_seconds=0.2) as apps:
        answer = await apps.call({"sleep": 0.8})

        assert answer.status == 200
        assert apps.host.starts["one"] == 1


async def test_a_server_based_replica_stays_up_without_calls(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, idle_seconds=0.2) as apps:
        app = apps.routing.app(apps.people.project)
        await apps.routing.deploy(app, flow("server"), server_based=True)
        await asyncio.sleep(0.6)
        assert apps.host.starts["server"] == 1
        [replica] = apps.host.of_flow("server")

        await apps.host.end(replica, "KILLED", "It was killed.")
        await eventually(has_replicas(apps, server=1))

        assert apps.host.starts["server"] == 2


async def test_a_replica_that_keeps_ending_is_started_again_with_pauses(apps: Apps):
    app = apps.routing.app(apps.people.project)
    await apps.routing.deploy(app, flow("server"), server_based=True)
    began = time.monotonic()

    while time.monotonic() - began < 2.5:
        for replica in apps.host.of_flow("server"):
            await apps.host.end(replica, "KILLED", "It was killed.")
        await asyncio.sleep(0.01)

    assert 3 <= apps.host.starts["server"] <= 5  # after 0, 0.2, 0.6, 1.4 (and 3.0) seconds


async def test_a_rollout_that_fails_is_reported_with_its_reason(apps: Apps):
    pins = [
        apps.routing.pin(apps.app, flow("bad", fails="FLOW_INVALID")),
        apps.routing.pin(apps.app, flow("needy", needs="OPENAI_API_KEY")),
        apps.routing.pin(apps.app, flow("old")),
    ]
    pins[2].loadable_digest = ""
    apps.app.rolling_out["production"] = pins
    await apps.routing.send(apps.app)

    reports = [(await apps.routing.reported(pin)).failed for pin in pins]

    assert [report.reason for report in reports] == ["FLOW_INVALID", "VARIABLE_MISSING", "NOT_LOADABLE"]
    assert "OPENAI_API_KEY" in reports[1].message
    assert (await apps.call()).body["output"]["flow"] == "one", "the live deployment stays"


async def test_the_report_of_a_rollout_has_the_digest_that_was_loaded(apps: Apps):
    pin = apps.routing.pin(apps.app, flow("two"))
    apps.app.rolling_out["production"] = [pin]
    await apps.routing.send(apps.app)

    report = await apps.routing.reported(pin)

    assert report.up.digest == pin.loadable_digest
    assert len(apps.host.of_flow("two")) == 1


async def test_a_replaced_replica_stays_warm_and_a_rollback_uses_it(apps: Apps):
    await apps.call()
    await apps.routing.deploy(apps.app, flow("two"))
    assert (await apps.call()).body["output"]["flow"] == "two"

    rollback = await apps.routing.deploy(apps.app, flow("one"))
    answer = await apps.call()

    assert answer.body["output"]["flow"] == "one"
    assert answer.headers["X-Flowpin-Deployment"] == rollback.deployment_id
    assert apps.host.starts["one"] == 1


async def test_a_full_host_stops_the_oldest_warm_replica(apps: Apps):
    apps.host.places = 3
    await apps.call()
    for name in ("two", "three", "four"):
        await apps.routing.deploy(apps.app, flow(name), server_based=True)

    await eventually(has_replicas(apps, one=0, two=1, three=1, four=1))


async def test_a_full_host_stops_an_idle_app_instead_of_refusing_a_call(apps: Apps):
    apps.host.places = 1
    other = apps.routing.app(apps.people.project)
    await apps.routing.deploy(other, flow("two"), server_based=False)
    await eventually(has_replicas(apps, two=1))

    answer = await apps.call()

    assert answer.status == 200, answer.body
    await eventually(has_replicas(apps, one=1, two=0))


async def test_a_full_host_without_spare_replicas_refuses_another_deployment(apps: Apps):
    apps.host.places = 1
    await apps.routing.deploy(apps.app, flow("two"), server_based=True)
    other = apps.routing.app(apps.people.project)
    pin = apps.routing.pin(other, flow("three"))
    other.rolling_out["production"] = [pin]

    await apps.routing.send(other)

    assert (await apps.routing.reported(pin)).failed.reason == "HOST_FULL"
    assert (await apps.call()).body["output"]["flow"] == "two"


async def test_a_replaced_replica_is_stopped_after_its_warm_time_and_its_runs(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, warm_seconds=0.2) as apps:
        running = asyncio.create_task(apps.call({"sleep": 1.5}))
        await eventually(has_replicas(apps, one=1))
        await asyncio.sleep(0.2)
        await apps.routing.deploy(apps.app, flow("two"))
        await asyncio.sleep(0.6)
        assert len(apps.host.of_flow("one")) == 1, "a run is in progress"

        assert (await running).body["output"]["flow"] == "one"
        await eventually(has_replicas(apps, one=0, two=1))


async def test_changed_variables_start_a_new_replica_and_no_call_waits_for_it(apps: Apps):
    await apps.call()
    apps.routing.variables = {"COLOUR": "red"}
    apps.app.live["production"].variables_revision += 1
    await apps.routing.send(apps.app)
    assert (await apps.call()).status == 200

    async def is_fresh() -> bool:
        return any(replica.variables == {"COLOUR": "red"} for replica in apps.host.of_flow("one"))

    await eventually(is_fresh)
    before = apps.host.runs["one"]
    answers = [await apps.call() for _ in range(3)]
    fresh = [replica for replica in apps.host.of_flow("one") if replica.variables]

    assert [answer.headers["X-Flowpin-Deployment"] for answer in answers] == [apps.live.deployment_id] * 3
    assert apps.host.runs["one"] == before + 3
    await eventually(has_replicas(apps, one=1))  # the replica with the old variables is not kept warm
    assert len(fresh) == 1
    assert sum(replica.served for replica in fresh) == 3


async def test_calls_are_refused_without_the_host_process_and_answered_when_it_is_back(apps: Apps):
    await apps.call()
    await apps.running_host.aclose()
    gone = await apps.call()
    health = await apps.health()

    await apps.start_host()

    async def answers() -> bool:
        return (await apps.call()).status == 200

    await eventually(answers)
    assert (gone.status, gone.error["details"]["reason"]) == (503, "NO_REPLICA")
    assert gone.headers["Retry-After"]
    assert (health.status, "does not answer" in health.body["host"]) == (200, True)
    assert (await apps.health()).body["host"] == "serving"


async def test_a_new_router_takes_over_needed_replicas_and_stops_the_others(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path) as apps:
        other: App = apps.routing.app(apps.people.project)
        await apps.routing.deploy(other, flow("other"))
        await apps.call()
        kept = {replica.id for replica in apps.host.of_flow("one")}
        await _restart_with(apps, gone=other)

        assert {replica.id for replica in apps.host.of_flow("one")} == kept
        assert apps.host.starts["one"] == 1


async def _restart_with(apps: Apps, gone: App) -> None:
    """Start a second router on the same host process, without the app `gone` in its routes."""
    del apps.routing.apps[gone.app_id]
    async with apps.run_service():
        await eventually(has_replicas(apps, other=0))
        answer = await apps.call()
        assert answer.status == 200


async def test_a_router_without_routes_reports_it(database_urls, tmp_path):
    async with fresh_apps(database_urls, tmp_path) as apps:
        await apps.start_routing()
        await apps.running_routing.aclose()
        async with aiohttp.ClientSession() as apps.session, apps.run_service():
            answer, health = await apps.call(), await apps.health()

    assert (answer.status, answer.error["details"]["reason"]) == (503, "ROUTES_UNKNOWN")
    assert (health.status, health.body["status"]) == (503, "not_ready")


async def test_the_replica_of_a_deleted_app_is_not_kept_warm(apps: Apps):
    await apps.call()
    await apps.routing.delete(apps.app)

    await eventually(has_replicas(apps, one=0))
