"""The gateway as a process: health, logs and shutdown."""

import asyncio
import json
import os
import signal
import sys

import aiohttp
import pytest
from grpc_health.v1 import health_pb2
from structlog.testing import capture_logs

from gateway.health import SATURATED_SECONDS
from gateway.settings import Settings
from service_kit import release
from service_kit.settings import variable
from tests.support.observed_services import WORKFLOW, Backend, Observed, running_world
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


VERSION = f"/v1/workflows/{WORKFLOW}/versions/latest"


@pytest.fixture
async def world():
    async with running_world() as world:
        yield world


async def test_the_gateway_is_live_without_a_token_and_without_its_services(world):
    await world.backend.stop()

    answer = await world.get("/health/live", authorization=None)

    assert answer.status == 200


async def test_the_gateway_is_ready_when_both_services_serve(world):
    answer = await world.get("/health/ready", authorization=None)

    assert answer.status == 200
    both = {"workflow": "serving", "deploy": "serving"}
    assert answer.json == {"status": "ready", "services": both, "writes": both, "saturated": False}


async def test_the_gateway_is_not_ready_while_a_service_is_not(world):
    await world.backend.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)

    answer = await world.get("/health/ready")

    assert answer.status == 503
    assert answer.json["services"] == {"workflow": "not_serving", "deploy": "not_serving"}


async def test_the_gateway_is_ready_for_reads_while_a_service_takes_no_writes(world):
    await world.backend.health.set("writes", health_pb2.HealthCheckResponse.NOT_SERVING)

    answer = await world.get("/health/ready")

    assert answer.status == 200
    assert (answer.json["status"], answer.json["services"]["workflow"]) == ("ready", "serving")
    assert answer.json["writes"] == {"workflow": "not_serving", "deploy": "not_serving"}


async def test_the_health_of_writes_is_unknown_for_a_service_of_the_previous_release(world):
    del world.backend.health._server_status["writes"]

    answer = await world.get("/health/ready")

    assert answer.status == 200
    assert answer.json["writes"] == {"workflow": "unknown", "deploy": "unknown"}


async def test_the_gateway_reports_saturation_and_stays_ready():
    async with running_world(max_requests=2) as world:
        before = await world.get("/health/ready")
        world.observed.hangs = True
        taken_on = [asyncio.create_task(world.get(VERSION)) for _ in range(2)]

        async def are_at_work() -> bool:
            return len(world.observed.requests) == 2

        await eventually(are_at_work)
        full = await world.get("/health/ready")
        refused = await world.get(VERSION)
        world.observed.go_on.set()
        done = [answer.status for answer in await asyncio.gather(*taken_on)]
        just_after = await world.get("/health/ready")
        await asyncio.sleep(SATURATED_SECONDS)
        later = await world.get("/health/ready")

    answers = [before, full, just_after, later]
    assert [answer.status for answer in answers] == [200] * 4
    assert [answer.json["saturated"] for answer in answers] == [False, True, True, False]
    assert [answer.headers.get("X-Envoy-Degraded") for answer in answers] == [None, "saturated", "saturated", None]
    assert (refused.status, done) == (429, [200, 200])


async def test_the_gateway_is_ready_again_when_its_services_are_back(world):
    await world.backend.stop()
    down = await world.get("/health/ready")
    await world.backend.start()

    back = await ready_within(world, 10)

    assert down.status == 503
    assert down.json["services"]["deploy"] == "unreachable"
    assert back.status == 200


async def test_the_root_path_of_the_gateway_points_to_v1(world):
    answer = await world.get("/", authorization=None)

    assert answer.json == {
        "name": "Flowpin",
        "version": release.VERSION,
        "api": "/v1",
        "docs": "/docs",
        "openapi": "/openapi.json",
    }


async def test_a_call_is_logged_as_one_line_without_token_or_body(world):
    with capture_logs() as lines:
        await world.post(f"/v1/workflows/{WORKFLOW}/save", {"flow": "SECRET", "flow_ui": {}}, x_request_id="call-3")

    [line] = lines
    assert line.pop("duration_ms") > 0
    assert line == {
        "event": "request_handled",
        "log_level": "info",
        "request_id": "call-3",
        "method": "POST",
        "route": "/v1/workflows/{workflow_id}/save",
        "status": 200,
    }


async def test_the_gateway_refuses_to_start_on_a_port_in_use(world):
    process = await start_gateway("serve", GATEWAY_LISTEN=world.url.removeprefix("http://"))

    _, complaint = await process.communicate()

    assert process.returncode == 1
    assert complaint.decode().splitlines()[-1].startswith("gateway: cannot listen on 127.0.0.1:")


async def test_the_help_of_the_gateway_names_every_setting():
    process = await start_gateway("--help")

    explained, _ = await process.communicate()

    assert process.returncode == 0
    names = [variable("GATEWAY_", name, field) for name, field in Settings.model_fields.items()]
    assert [name for name in names if f"  {name} (".encode() not in explained] == []


async def test_calls_in_progress_finish_after_sigterm_and_no_new_ones_begin():
    backend = Backend(Observed(hangs=True))
    await backend.start()
    process = await start_gateway(
        "serve", GATEWAY_WORKFLOW_TARGET=f"127.0.0.1:{backend.port}", GATEWAY_DRAIN_SECONDS="10"
    )
    url = await listening(process)

    async with aiohttp.ClientSession(headers={"Authorization": "Bearer x"}) as http:
        under_way = asyncio.create_task(http.get(url + VERSION))
        await backend.observed.arrived.wait()
        async with http.get(url + "/health/live") as kept_open:
            assert kept_open.status == 200
        process.send_signal(signal.SIGTERM)
        await logged(process, "drain_started")
        async with http.get(url + "/health/ready") as ready:
            assert ready.status == 503
        with pytest.raises(aiohttp.ClientConnectorError):
            await http.get(url + "/health/live")
        backend.observed.go_on.set()
        response = await under_way

    assert response.status == 200
    assert await asyncio.wait_for(process.wait(), 5) == 0
    await backend.stop()


async def test_the_gateway_stops_when_the_time_of_its_drain_is_over():
    backend = Backend(Observed(hangs=True))
    await backend.start()
    process = await start_gateway(
        "serve", GATEWAY_WORKFLOW_TARGET=f"127.0.0.1:{backend.port}", GATEWAY_DRAIN_SECONDS="0.2"
    )
    url = await listening(process)

    async with aiohttp.ClientSession(headers={"Authorization": "Bearer x"}) as http:
        under_way = asyncio.create_task(http.get(url + VERSION))
        await backend.observed.arrived.wait()
        process.send_signal(signal.SIGTERM)

        assert await asyncio.wait_for(process.wait(), 5) == 0
        with pytest.raises(aiohttp.ClientError):
            await under_way
    await backend.stop()


async def ready_within(world, seconds: int):
    for _ in range(seconds * 10):
        answer = await world.get("/health/ready")
        if answer.status == 200:
            break
        await asyncio.sleep(0.1)
    return answer


async def start_gateway(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *arguments,
        env={**os.environ, "GATEWAY_LISTEN": "127.0.0.1:0", "GATEWAY_LOG_FORMAT": "json", **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def listening(process: asyncio.subprocess.Process) -> str:
    return f"http://{(await logged(process, 'listener_started'))['address']}"


async def logged(process: asyncio.subprocess.Process, event: str) -> dict:
    async for line in process.stderr:
        if (found := json.loads(line))["event"] == event:
            return found
    raise AssertionError(f"the gateway ended before it logged {event}")
