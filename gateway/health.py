"""Reports whether the gateway runs, has room for requests, and finds a ready replica of each service."""

import asyncio
import time
from collections.abc import Mapping

import grpc
from aiohttp import web
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service_kit.fair_queue import FairQueue
from service_kit.http.middleware import RequestMiddleware

REMEMBERED_SECONDS = 0.5
TIMEOUT_SECONDS = 1.0
ASK_AGAIN_SECONDS = 0.15
"""Seconds until another replica is asked as well."""
MOST_ASKED = 6
SERVING = "serving"
DEGRADED = "X-Envoy-Degraded"
"""Header of a degraded gateway. Envoy then prefers other gateways, as long as there are enough of them."""
PARTS = ("", "writes")
"""Parts of a service's health: the whole service, and whether its database accepts changes."""
SATURATED_SECONDS = 2.0
"""How long the gateway reports that it was saturated, because health checks may be this far apart."""


class Health:
    """Answers /health/live and /health/ready, without a token."""

    def __init__(
        self, channels: Mapping[str, grpc.aio.Channel], middleware: RequestMiddleware, queue: FairQueue
    ) -> None:
        self._stubs = {name: health_pb2_grpc.HealthStub(channel) for name, channel in channels.items()}
        self._middleware = middleware
        self._queue = queue
        self._states: list[dict[str, str]] = []
        """States by part, then by service."""
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def live(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def ready(self, request: web.Request) -> web.Response:
        """Answers 503 unless each service has a replica to call. A read-only service or a full queue is not a
        reason."""
        if self._middleware.draining:
            return web.json_response({"status": "draining"}, status=503)
        async with self._asking:
            if time.monotonic() - self._asked_at > REMEMBERED_SECONDS:
                self._states = await asyncio.gather(*map(self._states_of, PARTS))
                self._asked_at = time.monotonic()
        services, writes = self._states
        ready = all(state == SERVING for state in services.values())
        saturated = self._queue.was_full_within(SATURATED_SECONDS)
        return web.json_response(
            {
                "status": "ready" if ready else "not_ready",
                "services": services,
                "writes": writes,
                "saturated": saturated,
            },
            status=200 if ready else 503,
            headers={DEGRADED: "saturated"} if saturated else None,
        )

    async def _states_of(self, part: str) -> dict[str, str]:
        found = await asyncio.gather(*(_state(stub, part) for stub in self._stubs.values()))
        return dict(zip(self._stubs, found, strict=True))


async def _state(stub: health_pb2_grpc.HealthStub, part: str) -> str:
    """`serving` if any replica reports it. Otherwise the last report, or `unreachable` without any."""
    state, asked, left = "unreachable", set[asyncio.Task[str]](), MOST_ASKED
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while left or asked:
                if left:  # calls go round robin, so this asks another replica
                    asked.add(asyncio.create_task(_ask(stub, part)))
                    left -= 1
                pause = ASK_AGAIN_SECONDS if left else None
                answered, asked = await asyncio.wait(asked, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                for each in answered:
                    state = each.result()
                    if state == SERVING:
                        return state
    except TimeoutError:
        pass
    finally:
        for each in asked:
            each.cancel()
    return state


async def _ask(stub: health_pb2_grpc.HealthStub, part: str) -> str:
    try:
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=part), timeout=TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError as error:
        # A service of the previous release does not have all parts.
        return "unknown" if error.code() is grpc.StatusCode.NOT_FOUND else "unreachable"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)).lower()
