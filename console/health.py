"""The health of the console, and which services answer it."""

import asyncio
import time
from collections.abc import Mapping

import grpc
from aiohttp import web
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service_kit.fair_queue import FairQueue
from service_kit.http.middleware import RequestMiddleware

TIMEOUT_SECONDS = 1.0
REMEMBERED_SECONDS = 0.5
SATURATED_SECONDS = 2.0


class Health:
    """Answers /health/live and /health/ready without a sign-in."""

    def __init__(
        self, channels: Mapping[str, grpc.aio.Channel], middleware: RequestMiddleware, queue: FairQueue
    ) -> None:
        self._stubs = {name: health_pb2_grpc.HealthStub(channel) for name, channel in channels.items()}
        self._middleware = middleware
        self._queue = queue
        self._states: dict[str, str] = {}
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def live(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def ready(self, request: web.Request) -> web.Response:
        """503 only while it drains or no service answers. With some services pages still show a part."""
        if self._middleware.draining:
            return web.json_response({"status": "draining"}, status=503)
        async with self._asking:
            if time.monotonic() - self._asked_at > REMEMBERED_SECONDS:
                found = await asyncio.gather(*map(_state, self._stubs.values()))
                self._states = dict(zip(self._stubs, found, strict=True))
                self._asked_at = time.monotonic()
        is_ready = "serving" in self._states.values()
        return web.json_response(
            {
                "status": "ready" if is_ready else "not_ready",
                "services": self._states,
                "saturated": self._queue.was_full_within(SATURATED_SECONDS),
            },
            status=200 if is_ready else 503,
        )


async def _state(stub: health_pb2_grpc.HealthStub) -> str:
    try:
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError:
        return "unreachable"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)).lower()
