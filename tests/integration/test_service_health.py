"""The health of a service has one part for supervisors, that it runs, and one for callers, that it can be called."""

from contextlib import AsyncExitStack
from dataclasses import replace

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service_kit.channel import open_channel
from tests.support.stack import Stack, workflow_service_of
from tests.support.waiting import eventually, negated, serving


async def test_a_service_without_its_database_is_live_and_not_ready(unstarted: Stack):
    nowhere = {**unstarted.urls, "flowpin_workflow": "postgresql://flowpin_workflow@/flowpin?host=/nowhere"}

    async with workflow_service_of(replace(unstarted, urls=nowhere)) as port:
        await eventually(lambda: negated(serving(port, "database")), 5)

        assert await serving(port, "live")
        assert not await serving(port)


async def test_a_service_that_stops_is_live_until_it_ends(unstarted: Stack):
    async with AsyncExitStack() as running:
        async with workflow_service_of(unstarted) as port:
            channel = await running.enter_async_context(open_channel(f"127.0.0.1:{port}"))
            watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="live"))
            seen = [(await watching.read()).status]

        with pytest.raises(grpc.aio.AioRpcError):
            seen.append((await watching.read()).status)

    assert seen == [health_pb2.HealthCheckResponse.SERVING]
