"""Whether the gateway runs, and whether what it calls is ready to be called."""

import asyncio
import time
from collections.abc import Mapping

import grpc
from aiohttp import web
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.traffic import Traffic

REMEMBERED_SECONDS = 0.5
TIMEOUT_SECONDS = 1.0


class Health:
    """Answers /health/live and /health/ready, without a token."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel], traffic: Traffic) -> None:
        self._stubs = {name: health_pb2_grpc.HealthStub(channel) for name, channel in channels.items()}
        self._traffic = traffic
        self._states: dict[str, str] = {}
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def live(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def ready(self, request: web.Request) -> web.Response:
        if self._traffic.draining:
            return web.json_response({"status": "draining"}, status=503)
        async with self._asking:
            if time.monotonic() - self._asked_at > REMEMBERED_SECONDS:
                found = await asyncio.gather(*map(_state, self._stubs.values()))
                self._states = dict(zip(self._stubs, found, strict=True))
                self._asked_at = time.monotonic()
        ready = all(state == "serving" for state in self._states.values())
        return web.json_response(
            {"status": "ready" if ready else "not_ready", "services": self._states}, status=200 if ready else 503
        )


async def _state(stub: health_pb2_grpc.HealthStub) -> str:
    try:
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError:
        return "unreachable"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)).lower()
