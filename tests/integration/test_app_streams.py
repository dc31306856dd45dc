"""A streamed call has named events, comments while no event comes, and a last event with the outcome of the run."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.support.apps.stand_in_host import flow
from tests.support.apps.world import KEY, Apps, running_apps
from tests.support.waiting import eventually


@asynccontextmanager
async def stream(apps: Apps, given: Any, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
    async with apps.session.post(
        apps.url(**options), json={"input": given, "stream": True}, headers={"Authorization": f"Bearer {KEY}"}
    ) as answer:
        yield answer


def events(text: str) -> list[tuple[str, Any]]:
    found = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            assert lines[0].startswith("event: ")
            data = "\n".join(line.removeprefix("data: ") for line in lines[1:])
            found.append((lines[0].removeprefix("event: "), json.loads(data)))
    return found


async def test_events_of_a_streamed_call_arrive_and_the_last_has_the_outcome(shared_apps: Apps):
    async with stream(shared_apps, {"stream": 3}) as answer:
        *parts, (name, outcome) = events(await answer.text())

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers["X-Flowpin-Deployment"] == shared_apps.live.deployment_id
    assert answer.headers["X-Request-Id"]
    assert [name for name, _ in parts] == ["streaming"] * 3
    assert [data["choices"][0]["delta"]["content"] for _, data in parts] == ["0", "1", "2"]
    assert name == "completed"
    assert outcome["output"]["flow"] == "one"
    assert outcome["id"]


async def test_a_flow_that_streams_nothing_has_one_event(shared_apps: Apps):
    async with stream(shared_apps, {"a": 1}) as answer:
        found = events(await answer.text())

    assert [name for name, _ in found] == ["completed"]


async def test_a_failure_after_the_first_byte_of_a_stream_is_an_event(shared_apps: Apps):
    async with stream(shared_apps, {"stream": 1, "fail": True}) as answer:
        found = events(await answer.text())

    assert answer.status == 200
    assert [name for name, _ in found] == ["streaming", "failed"]
    assert found[-1][1]["error"]["code"] == "run_failed"
    assert found[-1][1]["error"]["details"]["node"] == "calculator"


async def test_a_streamed_call_refused_before_its_run_has_its_own_status(shared_apps: Apps):
    async with stream(shared_apps, [1]) as answer:
        assert answer.status == 400


async def test_a_replica_that_dies_ends_the_stream_with_an_event(apps: Apps):
    async with stream(apps, {"stream": 1, "die": True}) as answer:
        found = events(await answer.text())

    assert [name for name, _ in found] == ["streaming", "failed"]
    assert "ended by itself" in found[-1][1]["error"]["message"]


async def test_a_stream_without_events_sends_comments(database_urls, tmp_path):
    async with (
        running_apps(database_urls, tmp_path, heartbeat_seconds=0.1) as apps,
        stream(apps, {"sleep": 0.7}) as answer,
    ):
        text = await answer.text()

    assert 3 <= text.count(": still at work\n\n") <= 8
    assert [name for name, _ in events(text)] == ["completed"]


async def test_a_caller_that_closes_a_stream_cancels_its_run(apps: Apps):
    async with stream(apps, {"stream": 1000, "between": 0.05}) as answer:
        await answer.content.readline()

    async def is_canceled() -> bool:
        return apps.host.canceled == 1

    await eventually(is_canceled)


async def test_the_connection_of_a_caller_that_reads_nothing_of_a_stream_is_closed(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, write_seconds=0.5) as apps:
        _, writer = await asyncio.open_connection("127.0.0.1", apps.port, limit=1 << 10)
        body = json.dumps({"input": {"stream": 1_000_000}, "stream": True}).encode()
        head = f"POST /apps/{apps.app.app_id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

        async def is_canceled() -> bool:
            return apps.host.canceled == 1

        await eventually(is_canceled, seconds=20)
        assert (await apps.call()).status == 200
        writer.close()


async def test_a_stream_continues_through_three_deploys(apps: Apps):
    async with stream(apps, {"stream": 40, "between": 0.05}) as answer:
        await answer.content.readline()
        for name in ("two", "three", "four"):
            await apps.routing.deploy(apps.app, flow(name))
        after = await apps.call()
        found = events("event: streaming\n" + await answer.text())

    assert after.body["output"]["flow"] == "four"
    assert len(found) == 41
    assert found[-1][1]["output"]["flow"] == "one"
    assert answer.headers["X-Flowpin-Deployment"] == apps.live.deployment_id
