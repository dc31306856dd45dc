"""What comes on top of what a process takes on is refused at once, and what it has taken on goes on."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from gateway_fixtures import WORKFLOW, World, running_world
from waiting import eventually
from workflow_fixtures import HELD, refusal, save_request

from service_kit.admission import Admission
from service_kit.errors import TooManyRequests
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from tests.stack import Stack, running_stack

SAVE = f"/v1/workflows/{WORKFLOW}/save"
VERSION = f"/v1/workflows/{WORKFLOW}/versions/latest"
DOCUMENTS = b'{"flow": {}, "flow_ui": {}}'


def arrived(world: World, count: int) -> Callable[[], Awaitable[bool]]:
    async def enough() -> bool:
        return len(world.observed.requests) == count

    return enough


async def test_the_gateway_refuses_what_is_too_many():
    async with running_world(max_requests=2) as world:
        world.observed.hangs = True
        taken_on = [asyncio.create_task(world.post(SAVE, DOCUMENTS)) for _ in range(2)]
        await eventually(arrived(world, 2), seconds=5)

        started = time.monotonic()
        refused = await world.get(VERSION)
        seconds = time.monotonic() - started
        live = await world.get("/health/live")
        world.observed.go_on.set()
        done = [answer.status for answer in await asyncio.gather(*taken_on)]
        again = await world.get(VERSION)

        assert (refused.status, refused.error["code"]) == (429, "too_many_requests")
        assert refused.details["reason"] == "TOO_MANY_REQUESTS"
        assert refused.headers["Retry-After"] == "1"
        assert seconds < 0.5
        assert live.status == 200
        assert done == [200, 200]
        assert again.status == 200


async def test_the_gateway_refuses_what_is_too_much():
    async with running_world(max_bytes_under_way=1 << 20, max_body_bytes=4 << 20) as world:
        large = b'{"flow": {"a": "' + b"x" * (2 << 20) + b'"}, "flow_ui": {}}'
        world.observed.hangs = True
        taken_on = asyncio.create_task(world.post(SAVE, large))
        await world.observed.arrived.wait()

        refused = await world.post(SAVE, large)
        world.observed.hangs = False
        small = await world.get(VERSION)
        world.observed.go_on.set()

        assert refused.status == 429
        assert small.status == 200
        assert (await taken_on).status == 200
        assert (await world.post(SAVE, large)).status == 200


def test_a_place_is_free_again_when_its_call_has_left():
    admission = Admission(1)
    admission.enter()

    with pytest.raises(TooManyRequests):
        admission.enter()
    admission.leave()
    admission.enter()


async def test_a_service_refuses_what_is_too_many(unstarted: Stack):
    async with AsyncExitStack() as until_done:
        stack = await until_done.enter_async_context(running_stack(unstarted, workflow={"max_calls": 2}))
        admin = await until_done.enter_async_context(stack.database("admin", "workflow"))
        workflow, _ = await stack.workflow()
        get = pb.GetVersionRequest(workflow_id=workflow["id"], version="latest")

        def call(rpc: Any, request: Any) -> asyncio.Future[Any]:
            return asyncio.ensure_future(rpc(request, metadata=stack.as_()))

        async with admin.transaction():
            await admin.execute("LOCK TABLE workflows IN ACCESS EXCLUSIVE MODE")
            taken_on = [call(stack.workflows.SaveWorkflow, save_request(workflow["id"])) for _ in range(2)]
            await eventually(lambda: admin.fetchval(HELD), seconds=5)
            refused = await refusal(call(stack.workflows.GetVersion, get))
        saved = [(await save).data.version for save in taken_on]

        assert (refused.code.name, refused.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_REQUESTS")
        assert refused.retry_after == 1
        assert sorted(saved) == [2, 3]
        assert (await call(stack.workflows.GetVersion, get)).data.version == 3
