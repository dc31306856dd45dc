"""Follows the deploy service's routes, and acknowledges them when the router serves them."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import grpc
import structlog
from prometheus_client import Gauge

from run_service.offline.offline_copy import OfflineCopy
from run_service.supply.deploy_client import DeployClient
from run_service.supply.route_table import RouteTable
from run_service.supply.routes import Route
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.routing.v1 import routing_pb2 as pb

SILENT_SECONDS = 10.0
"""The deploy service sends a message every 5 seconds. A stream that is silent for this long is lost."""
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
RENEW_SECONDS = 3.0
"""Seconds between two renewals of the router's lease, which lasts 10 seconds."""
MAX_ACKNOWLEDGED = 100
"""Maximum routes in one call."""
LEAVE_SECONDS = 1.0
FALL_BACK_SECONDS = 1.0
"""How long the deploy service may take after the start before routes from disk are used."""

CONNECTED = Gauge("flowpin_route_stream_connected", "Whether the deploy service streams its routes.")
APPS = Gauge("flowpin_routes", "Apps that the router knows.")

log = structlog.get_logger()


class RouteFeed:
    def __init__(
        self, deploys: DeployClient, router_id: UUID, name: str, table: RouteTable, on_change: Callable[[], None]
    ) -> None:
        """`on_change` is called when the table has changed, before the change is acknowledged."""
        self._deploys = deploys
        self._router_id = router_id
        self._name = name
        self._table = table
        self._on_change = on_change
        self._unacknowledged: dict[UUID, Route] = {}
        self._has_news = asyncio.Event()
        self._has_snapshot = asyncio.Event()
        self._lost_at: float | None = time.monotonic()
        self._last_error: str | None = None
        self._is_leaving = False

    async def problem(self) -> str | None:
        """Why the routes are not current, or None."""
        if self._lost_at is None:
            return None
        since = datetime.now(UTC) - timedelta(seconds=time.monotonic() - self._lost_at)
        kept = "the last routes are used" if self._table.is_known else "no routes are known yet"
        if self._table.old_since is not None:
            kept = f"routes from disk are used, written at {self._table.old_since:%Y-%m-%dT%H:%M:%SZ}"
        return f"the deploy service has not streamed routes since {since:%Y-%m-%dT%H:%MZ}; {kept}"

    async def follow(self) -> None:
        """Keep the table current until canceled."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            if await self._watch_once():
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - no secret
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def fall_back(self, copy: OfflineCopy) -> None:
        """Use the routes on disk if the deploy service sends none soon after the start."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FALL_BACK_SECONDS):
                await self._has_snapshot.wait()
        if self._table.is_known:
            return
        found = await copy.old_routes()
        if found is None or self._table.is_known:
            return
        self._table.take_up_old(found.routes, found.written_at)
        APPS.set(len(found.routes.routes))
        log.warning("stored_routes_used", apps=len(found.routes.routes), written_at=found.written_at.isoformat())
        self._on_change()

    async def acknowledge(self) -> None:
        """Acknowledge the served revisions, and renew the router's lease. Runs until canceled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._has_news.wait()
            self._has_news.clear()
            if self._lost_at is not None or self._is_leaving:
                continue  # only routers that receive changes keep a lease
            try:
                await self._send_acknowledgements()
            except ServiceError as error:
                log.warning("routes_not_acknowledged", error=error.reason)
                await asyncio.sleep(FIRST_PAUSE_SECONDS)
                self._has_news.set()

    async def leave(self) -> None:
        """Return the lease, so that deploys no longer wait for this router."""
        self._is_leaving = True
        with suppress(ServiceError, TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._deploys.acknowledge(
                    pb.AcknowledgeRoutesRequest(router_id=str(self._router_id), leaving=True)
                )

    async def _watch_once(self) -> bool:
        """Apply the messages of one stream until it ends or is silent. Returns whether its snapshot was complete."""
        snapshot: list[pb.WatchRoutesResponse] | None = []
        stream = self._deploys.watch(self._router_id, self._name)
        error = "the stream ended"
        try:
            messages = aiter(stream)
            while True:
                async with asyncio.timeout(SILENT_SECONDS):
                    message = await anext(messages)
                if snapshot is None:
                    self._in_force(self._table.change([message]))
                else:
                    snapshot.append(message)
                    if message.snapshot_complete:
                        self._in_force(self._table.replace(snapshot))
                        snapshot, self._lost_at = None, None
                        CONNECTED.set(1)
                        self._has_snapshot.set()
                        self._has_news.set()
                        log.info("routes_received", apps=len(list(self._table.routes)))
        except StopAsyncIteration:
            pass
        except TimeoutError:
            error = f"silent for {SILENT_SECONDS:g} s"
        except grpc.aio.AioRpcError as failure:
            error = failure.code().name
        finally:
            stream.cancel()
            CONNECTED.set(0)
            if self._lost_at is None:
                self._lost_at, self._last_error = time.monotonic(), None
            if error != self._last_error and not self._is_leaving:
                self._last_error = error
                log.warning("route_stream_lost", error=error)
        return snapshot is None

    def _in_force(self, routes: Iterable[Route]) -> None:
        APPS.set(len(list(self._table.routes)))
        self._unacknowledged.update((route.app_id, route) for route in routes)
        self._on_change()
        if self._unacknowledged:
            self._has_news.set()

    async def _send_acknowledgements(self) -> None:
        """Acknowledge all waiting routes, MAX_ACKNOWLEDGED per call. Without any, one call renews the lease."""
        while True:
            routes = list(self._unacknowledged.values())[:MAX_ACKNOWLEDGED]
            await self._deploys.acknowledge(
                pb.AcknowledgeRoutesRequest(
                    router_id=str(self._router_id),
                    acknowledgements=[
                        pb.Acknowledgement(
                            project_id=str(route.project_id), app_id=str(route.app_id), revision=route.revision
                        )
                        for route in routes
                    ],
                )
            )
            for route in routes:
                if self._unacknowledged.get(route.app_id) is route:
                    del self._unacknowledged[route.app_id]
            if not self._unacknowledged:
                return
