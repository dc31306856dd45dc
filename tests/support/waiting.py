"""Waits for a condition, and asks the processes of a stack for their state."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from service_kit.channel import open_channel
from tests.support.stack import Stack


async def eventually(holds: Callable[[], Awaitable[bool]], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.05)


def wait_until(holds: Callable[[], bool], seconds: float) -> float:
    """Wait for a condition. Returns the seconds it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - began


async def serving(port: int, part: str = "") -> bool:
    async with open_channel(f"127.0.0.1:{port}") as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=part), timeout=2)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def ready(stack: Stack) -> bool:
    answer = await stack.rest("GET", "/health/ready", token=None)
    assert answer.status == (200 if answer.body["status"] == "ready" else 503)
    return answer.status == 200


async def negated(holds: Awaitable[bool]) -> bool:
    return not await holds


async def start_calls(*calls: Awaitable[Any]) -> list[asyncio.Future[Any]]:
    """Start calls and let them run as far as they can for now."""
    futures = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0.2)
    return futures
