"""The record of a replaced deployment counts how its last calls ended."""

import asyncio

import pytest

from tests.support.apps.stand_in_host import flow
from tests.support.apps.world import Apps, running_apps
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


def is_drained(apps: Apps, deployment_id: str):
    async def holds() -> bool:
        return deployment_id in apps.routing.drains

    return holds


async def test_only_calls_that_end_after_the_cut_over_are_counted_as_drained_or_killed(apps: Apps):
    await apps.call()
    running = [asyncio.create_task(apps.call({"sleep": 1.5, **more})) for more in ({}, {"fail": True}, {"die": True})]
    await asyncio.sleep(0.3)
    await apps.routing.deploy(apps.app, flow("two"))
    assert (await apps.call()).body["output"]["flow"] == "two"
    assert apps.live.deployment_id not in apps.routing.drains

    await asyncio.gather(*running)
    await eventually(is_drained(apps, apps.live.deployment_id))

    drained, killed = apps.routing.drains[apps.live.deployment_id]
    assert drained + killed == 3
    assert killed >= 1, "one run has ended its replica"


async def test_a_call_that_reaches_the_longest_run_time_counts_as_killed(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, seconds=1) as apps:
        running = [asyncio.create_task(apps.call({"sleep": seconds})) for seconds in (0.6, 5)]
        await asyncio.sleep(0.2)
        await apps.routing.deploy(apps.app, flow("two"))

        statuses = [(await run).status for run in running]
        await eventually(is_drained(apps, apps.live.deployment_id))

    assert statuses == [200, 504]
    assert apps.routing.drains == {apps.live.deployment_id: (1, 1)}


async def test_a_replaced_deployment_without_calls_is_drained_immediately(apps: Apps):
    await apps.routing.deploy(apps.app, flow("two"))
    await eventually(is_drained(apps, apps.live.deployment_id))

    assert apps.routing.drains == {apps.live.deployment_id: (0, 0)}


async def test_archiving_an_app_drains_no_deployment(apps: Apps):
    apps.app.is_archived = True
    await apps.routing.send(apps.app)
    await apps.routing.taken_up(apps.app)
    apps.app.is_archived = False
    await apps.routing.send(apps.app)
    await asyncio.sleep(1.5)

    assert apps.routing.drains == {}


async def test_the_report_of_a_drain_waits_for_the_deploy_service(apps: Apps):
    running = asyncio.create_task(apps.call({"sleep": 1}))
    await asyncio.sleep(0.3)
    await apps.routing.deploy(apps.app, flow("two"))
    await apps.running_routing.aclose()
    assert (await running).status == 200
    await asyncio.sleep(1.5)

    await apps.start_routing()

    await eventually(is_drained(apps, apps.live.deployment_id), seconds=15)
    assert apps.routing.drains == {apps.live.deployment_id: (1, 0)}
