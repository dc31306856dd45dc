"""Several replicas of one deployment are kept up, share the calls, and are replaced without a failed call."""

import asyncio
from collections import Counter

import pytest

from run_service.supply import replicas as supply
from tests.support.apps.stand_in_host import flow
from tests.support.apps.stand_in_routing import App
from tests.support.apps.world import Apps, running_apps
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


async def server(apps: Apps, count: int, **told) -> App:
    """An app with `count` replicas of the flow `server`."""
    app = apps.routing.app(apps.people.project)
    await apps.routing.deploy(app, flow("server", **told), server_based=True, min_replicas=count)
    return app


def has(apps: Apps, count: int, name: str = "server"):
    async def holds() -> bool:
        return len(apps.host.of_flow(name)) == count

    return holds


async def test_a_deployment_is_up_when_all_its_replicas_are_up(apps: Apps):
    await server(apps, 3, later_by=0.4)

    assert len(apps.host.of_flow("server")) == 3


async def test_calls_go_to_the_replica_with_the_fewest_runs(apps: Apps):
    app = await server(apps, 3)

    answers = await asyncio.gather(*(apps.call({"sleep": 0.5}, app=app) for _ in range(12)))

    assert {answer.status for answer in answers} == {200}
    assert [replica.most_runs for replica in apps.host.of_flow("server")] == [4, 4, 4]


async def test_calls_beyond_the_slots_of_all_replicas_wait(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, slots=1, queue=1) as apps:
        app = await server(apps, 2)

        answers = await asyncio.gather(*(apps.call({"sleep": 0.5}, app=app) for _ in range(4)))

    assert Counter(answer.status for answer in answers) == {200: 3, 429: 1}


async def test_a_replica_that_ends_is_replaced_while_the_others_serve(apps: Apps):
    app = await server(apps, 2, start_seconds=0.3)
    [first, second] = apps.host.of_flow("server")

    await apps.host.end(first, "KILLED", "It was killed.")
    answers = [await apps.call(app=app) for _ in range(5)]
    served_meanwhile = second.served
    await eventually(has(apps, 2))

    assert {answer.status for answer in answers} == {200}
    assert served_meanwhile == 5


async def test_replicas_that_end_together_are_restarted_after_one_pause(apps: Apps):
    await server(apps, 8)

    for replica in apps.host.of_flow("server"):
        await apps.host.end(replica, "KILLED", "It was killed.")
    await eventually(has(apps, 8), seconds=2)

    assert apps.host.starts["server"] == 16


async def test_a_deploy_with_fewer_replicas_stops_the_others_after_their_runs(apps: Apps):
    app = await server(apps, 3)
    running = [asyncio.create_task(apps.call({"sleep": 1}, app=app)) for _ in range(3)]
    await asyncio.sleep(0.3)

    await apps.routing.deploy(app, flow("server"), server_based=True, min_replicas=1)
    assert len(apps.host.of_flow("server")) == 3
    answers = await asyncio.gather(*running)

    assert {answer.status for answer in answers} == {200}
    await eventually(has(apps, 1))


async def test_a_replica_at_its_limit_of_runs_is_replaced_and_no_call_fails(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, recycle_runs=20) as apps:
        app = await server(apps, 2, start_seconds=0.1)
        fewest = []

        async def caller() -> list[int]:
            statuses = []
            for _ in range(40):
                statuses.append((await apps.call({"sleep": 0.02}, app=app)).status)
                fewest.append(len(apps.host.of_flow("server")))
            return statuses

        statuses = await asyncio.gather(*(caller() for _ in range(4)))
        await eventually(has(apps, 2))

        assert {status for each in statuses for status in each} == {200}
        assert apps.host.starts["server"] >= 6
        assert min(fewest) == 2, "the new replica is started first"
        assert max(replica.served for replica in apps.host.of_flow("server")) < 160


async def test_a_long_run_outlives_the_replacement_of_its_replica(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, recycle_runs=3) as apps:
        long = asyncio.create_task(apps.call({"sleep": 3}))
        await eventually(has(apps, 1, "one"))
        [replica] = apps.host.of_flow("one")

        quick = [await apps.call() for _ in range(2)]
        await eventually(has(apps, 2, "one"))
        after = await apps.call()
        served = replica.served

        assert {answer.status for answer in (*quick, after, await long)} == {200}
        assert served == 3
        await eventually(has(apps, 1, "one"))
        assert apps.host.of_flow("one") != [replica]


async def test_a_replica_that_has_grown_is_replaced(database_urls, tmp_path, monkeypatch):
    monkeypatch.setattr(supply, "LOOK_SECONDS", 0.1)
    async with running_apps(database_urls, tmp_path, recycle_bytes=100 << 20) as apps:
        app = await server(apps, 2)
        grown, other = apps.host.of_flow("server")

        grown.grown, other.grown = 101 << 20, 99 << 20

        async def is_replaced() -> bool:
            return grown.id not in apps.host.replicas

        await eventually(is_replaced)

        assert other.id in apps.host.replicas
        assert len(apps.host.of_flow("server")) == 2
        assert (await apps.call(app=app)).status == 200


async def test_a_replica_at_its_limit_serves_until_a_new_replica_starts(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, recycle_runs=1) as apps:
        app = await server(apps, 1)
        apps.host.places = 0

        answers = [await apps.call(app=app) for _ in range(10)]
        full = len(apps.host.of_flow("server"))
        apps.host.places = 100
        [worn] = apps.host.of_flow("server")

        async def is_replaced() -> bool:
            return apps.host.of_flow("server") not in ([worn], [])

        await eventually(is_replaced)
        assert ({answer.status for answer in answers}, full) == ({200}, 1)


async def test_a_new_router_takes_over_all_replicas(apps: Apps):
    app = await server(apps, 3)
    kept = {replica.id for replica in apps.host.of_flow("server")}

    await apps.running_service.aclose()
    async with apps.run_service():
        await eventually(apps.is_ready)
        assert (await apps.call(app=app)).status == 200
        await asyncio.sleep(1.5)  # longer than the interval of the check for left-over replicas

    assert {replica.id for replica in apps.host.of_flow("server")} == kept
    assert apps.host.starts["server"] == 3
