"""Reports whether the router is running and has routes and replicas."""

from collections.abc import Mapping

from aiohttp import web

from run_service.supply.route_table import RouteTable
from service_kit.fair_queue import FairQueue
from service_kit.http.middleware import RequestMiddleware
from service_kit.serving.health import Check

SATURATED_SECONDS = 2.0


class Health:
    """Answers /health/live and /health/ready, without a key."""

    def __init__(
        self, table: RouteTable, parts: Mapping[str, Check], middleware: RequestMiddleware, queue: FairQueue
    ) -> None:
        """`parts` maps names to checks, which return a problem or None."""
        self._table = table
        self._parts = parts
        self._middleware = middleware
        self._queue = queue

    async def live(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def ready(self, request: web.Request) -> web.Response:
        """Answers 503 until routes are known, and while the router drains. Old routes or a missing host process are not
        a reason."""
        if self._middleware.draining:
            return web.json_response({"status": "draining"}, status=503)
        parts = {name: await check() or "serving" for name, check in self._parts.items()}
        ready = self._table.is_known
        return web.json_response(
            {
                "status": "ready" if ready else "not_ready",
                **parts,
                "saturated": self._queue.was_full_within(SATURATED_SECONDS),
            },
            status=200 if ready else 503,
        )
