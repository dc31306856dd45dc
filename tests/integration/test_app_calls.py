"""A call is answered by the live deployment of its app, or refused with a status and one sentence."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.apps.stand_in_host import flow
from tests.support.apps.world import KEY, Apps, running_apps

JSON = {"Content-Type": "application/json"}


async def test_a_call_is_answered_by_the_live_deployment(shared_apps: Apps):
    answer = await shared_apps.call({"price": 2.5})

    assert answer.status == 200
    assert answer.body["output"] == {"flow": "one", "input": {"price": 2.5}}
    assert answer.headers["X-Flowpin-Deployment"] == shared_apps.live.deployment_id
    assert answer.headers["X-Flowpin-Version"] == "v1"
    assert answer.headers["X-Request-Id"]
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ({"output": "hello"}, "hello"),
        ({"output": {"output": 1}}, {"output": 1}),
        ({"output": 1, "more": 2}, {"output": 1, "more": 2}),
        ({"answer": 1}, {"answer": 1}),
        ([1], [1]),
        (None, None),
    ],
)
async def test_the_only_field_of_an_output_is_the_output(shared_apps: Apps, given: Any, output: Any):
    answer = await shared_apps.call({"answer": given})

    assert answer.body["output"] == output


async def test_the_answer_of_a_failed_flow_names_its_node_and_error(shared_apps: Apps):
    answer = await shared_apps.call({"fail": True})

    assert (answer.status, answer.error["code"]) == (500, "run_failed")
    details = answer.error["details"]
    assert (details["node"], details["error"], details["reason"]) == ("calculator", "division by zero", "RUN_FAILED")
    assert answer.headers["X-Flowpin-Version"] == "v1"


async def test_a_replica_that_ends_fails_its_runs_and_is_replaced(apps: Apps):
    failed = await apps.call({"die": True})
    again = [await apps.call() for _ in range(1)]

    assert (failed.status, failed.error["code"]) == (500, "run_failed")
    assert "ended by itself" in failed.error["message"]
    assert [answer.status for answer in again] == [200]
    assert apps.host.starts["one"] == 2


async def test_a_run_beyond_its_deadline_is_a_timeout(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, seconds=0.3, grace_seconds=0.5) as apps:
        obedient = await apps.call({"sleep": 30})
        [first] = apps.host.replicas
        stubborn = await apps.call({"sleep": 30, "stubborn": True})
        after = await apps.call()

        assert [(answer.status, answer.error["code"]) for answer in (obedient, stubborn)] == [(504, "timeout")] * 2
        assert after.status == 200
        assert first not in apps.host.replicas, "the replica of a run that does not end is killed"


async def test_a_call_without_a_replica_is_unavailable_with_the_cause(apps: Apps):
    bad = apps.routing.app(apps.people.project)
    bad.live["production"] = apps.routing.pin(bad, flow("bad", fails="FLOW_INVALID"))
    old = apps.routing.app(apps.people.project)
    old.live["production"] = apps.routing.pin(old, flow("old"))
    old.live["production"].loadable_digest = ""
    for app in (bad, old):
        await apps.routing.send(app)
        await apps.routing.taken_up(app)

    failed, again, unloadable = await apps.call(app=bad), await apps.call(app=bad), await apps.call(app=old)

    assert [(each.status, each.error["code"]) for each in (failed, again, unloadable)] == [(503, "unavailable")] * 3
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in (failed, again, unloadable))
    assert "The flow bad is not good." in failed.error["message"]
    assert "Deploy the version again" in unloadable.error["message"]
    assert apps.host.starts["bad"] == 1, "it is started again only after a pause"


async def test_the_cause_of_a_public_apps_outage_is_not_told_to_strangers(apps: Apps):
    public = apps.routing.app(apps.people.project, is_public=True)
    public.live["production"] = apps.routing.pin(public, flow("secretive", fails="FLOW_INVALID"))
    await apps.routing.send(public)
    await apps.routing.taken_up(public)

    down = await apps.call(app=public, key=None)

    assert (down.status, down.error["message"]) == (503, "The app is not up. Try again shortly.")
    assert "secretive" not in str(down.body)


async def test_calls_beyond_the_slots_wait_and_those_beyond_the_queue_are_refused(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, slots=2, queue=2, queue_seconds=5) as apps:
        await apps.call()
        answers = await asyncio.gather(*(apps.call({"sleep": 0.5}) for _ in range(6)))

        assert sorted(answer.status for answer in answers) == [200] * 4 + [429] * 2
        refused = next(answer for answer in answers if answer.status == 429)
        assert refused.error["details"]["reason"] == "NO_SLOT"
        assert refused.headers["Retry-After"] == "1"
        [replica] = apps.host.replicas.values()
        assert replica.most_runs == 2


async def test_a_call_that_waits_too_long_for_a_slot_is_refused(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, slots=1, queue_seconds=0.2) as apps:
        await apps.call()
        working = asyncio.create_task(apps.call({"sleep": 1}))
        await asyncio.sleep(0.1)

        assert (await apps.call()).status == 429
        assert (await working).status == 200


async def status_of_a_head(apps: Apps) -> int:
    """The status of a call whose body does not arrive."""
    reader, writer = await asyncio.open_connection("127.0.0.1", apps.port)
    head = {"Host": "localhost", "Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    lines = [f"POST {urlsplit(apps.url()).path} HTTP/1.1", *map(": ".join, head.items()), "Content-Length: 1000"]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    async with asyncio.timeout(0.5):
        answer = await reader.readline()
    writer.close()
    return int(answer.split()[1])


async def test_one_principal_cannot_use_all_requests_of_the_router(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, max_requests=2) as apps:
        public = apps.routing.app(apps.people.project, is_public=True)
        await apps.routing.deploy(public, flow("public"))
        working = [asyncio.create_task(apps.call({"sleep": 1})) for _ in range(2)]
        await asyncio.sleep(0.3)

        assert (await apps.call()).status == 429
        assert await status_of_a_head(apps) == 429  # nothing waits for a body that cannot be used
        assert (await apps.call(app=public, key=None)).status == 200
        assert [(await each).status for each in working] == [200, 200]


async def test_a_caller_that_hangs_up_frees_its_slot(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, slots=1) as apps:
        await apps.call()
        hanging = asyncio.create_task(apps.call({"sleep": 60}))
        await asyncio.sleep(0.2)
        hanging.cancel()

        async with asyncio.timeout(3):
            answer = await apps.call()

        assert answer.status == 200
        assert apps.host.canceled == 1


async def test_the_rate_limit_of_calls_applies_to_each_key_and_is_in_the_headers(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, rate_limit="2/minute") as apps:
        answers = [await apps.call() for _ in range(3)]

        assert [answer.status for answer in answers] == [200, 200, 429]
        assert answers[-1].error["details"]["reason"] == "RATE_LIMITED"
        assert answers[0].headers["RateLimit-Policy"] == '"principal";q=2;w=60'
