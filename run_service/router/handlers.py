"""Answers a request to an app: finds the deployment, checks the caller, reads the body, runs it, and writes the
outcome."""

from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

import structlog
from aiohttp import web

from run_service.errors import HostUnknown, NoReplica, PathUnknown
from run_service.hosting.client import RunEnded, RunStreamed
from run_service.router import answers, call_body, cors
from run_service.router.access import Target, find_route, find_target
from run_service.router.call_body import Call
from run_service.router.calls import Calls
from run_service.router.names import Address, address_of
from run_service.supply.replicas import BoundCall, Replicas
from run_service.supply.route_table import RouteTable
from service_kit.byte_budget import ByteBudget, Reservation
from service_kit.errors import ServiceError, TooManyRequests
from service_kit.fair_queue import FairQueue
from service_kit.http import bodies
from service_kit.http.bodies import BodyLimits
from service_kit.http.event_stream import EventStream
from service_kit.http.middleware import REQUEST_ID
from service_kit.http.rates import RateLimiter
from service_kit.ids import new_id

NOT_UP = "The app is not up. Try again shortly."

IS_PUBLIC = web.RequestKey("is_public", bool)
TARGET = web.RequestKey("target", Target)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of calls (concurrency, memory, time for bodies), and settings of streams."""

    queue: FairQueue
    budget: ByteBudget
    body: BodyLimits
    rates: RateLimiter | None
    run_seconds: float
    heartbeat_seconds: float


class AppHandler:
    def __init__(self, domain: str, table: RouteTable, replicas: Replicas, calls: Calls, limits: Limits) -> None:
        self._domain = domain
        self._table = table
        self._replicas = replicas
        self._calls = calls
        self._limits = limits

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._handle(request)
        except NoReplica as error:
            # Only people who may deploy see the cause, because it may name a variable.
            return answers.of_failure(NoReplica(NOT_UP) if request.get(IS_PUBLIC) else error)
        except ServiceError as error:
            return answers.of_failure(error)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        address = address_of(request.headers.get("Host", ""), request.path, self._domain)
        if address is None:
            raise HostUnknown
        route = find_route(self._table, address.app)
        request[IS_PUBLIC] = route.is_public
        _check_path(address)
        if route.is_public and cors.is_preflight(request):
            return cors.preflight(request)
        if request.method != "POST":
            raise web.HTTPMethodNotAllowed(request.method, {"POST"})
        target = find_target(self._table, route, address.app.environment, request.headers.get("Authorization"))
        request[TARGET] = target
        # From here on, the call belongs to one deployment, even if another one goes live before the call ends.
        with self._replicas.bound(target.pin) as bound:
            return await self._answer(request, target, bound)

    async def _answer(self, request: web.Request, target: Target, bound: BoundCall) -> web.StreamResponse:
        """Answer a call whose caller is permitted. No slot or memory is reserved for a call before this."""
        limits, principal = self._limits, target.principal
        content_type = request.headers.get("Content-Type", "")
        call_body.media_type_of(content_type)
        bodies.check_head(request, limits.body)
        if limits.rates is not None:
            limits.rates.check(request, principal.bytes)
        if limits.queue.is_full_for(principal):
            raise TooManyRequests  # so that the body is not read for nothing
        reservation = limits.budget.reserve(principal)
        call = call_body.read_call(content_type, await bodies.receive(request, reservation, limits.body))
        await limits.queue.enter(principal)
        try:
            run_id = new_id()
            if call.is_stream:
                return await self._stream(request, run_id, target, bound, call)
            return await self._wait(request, run_id, target, bound, call, reservation)
        finally:
            limits.queue.leave(principal)

    async def _wait(
        self,
        request: web.Request,
        run_id: UUID,
        target: Target,
        bound: BoundCall,
        call: Call,
        reservation: Reservation,
    ) -> web.Response:
        ended = RunEnded("failed")
        async with aclosing(self._calls.run(run_id, request[REQUEST_ID], target, bound, call)) as events:
            async for event in events:
                if isinstance(event, RunEnded):
                    ended = event
        output = answers.check_ended(run_id, ended, self._limits.run_seconds)
        reservation.close()
        reservation.add(len(output), may_refuse=False)
        return answers.of_output(run_id, output, reservation)

    async def _stream(
        self, request: web.Request, run_id: UUID, target: Target, bound: BoundCall, call: Call
    ) -> web.StreamResponse:
        """The answer starts after the run has started, so that earlier errors can set the status."""
        limits = self._limits
        async with aclosing(self._calls.run(run_id, request[REQUEST_ID], target, bound, call)) as events:
            event = await anext(events)
            stream = EventStream(request, limits.heartbeat_seconds)
            try:
                async with stream:
                    try:
                        while not isinstance(event, RunEnded):
                            if isinstance(event, RunStreamed):
                                await stream.send(event.name, event.data)
                            event = await anext(events)
                        await stream.send(*answers.last_event(run_id, event, limits.run_seconds))
                    except ConnectionError:
                        raise
                    except Exception:  # the status has been sent already
                        log.exception("request_broke", request_id=request[REQUEST_ID])
                        await stream.send(*answers.broken_event())
            except ConnectionError as error:
                log.info("stream_broke", run_id=str(run_id), error=str(error))
                if request.transport is not None:
                    request.transport.abort()
            return stream.response


async def describe(request: web.Request, response: web.StreamResponse) -> None:
    """Add headers to each answer: its deployment, and CORS headers that say who may read it."""
    response.headers["X-Request-Id"] = request.get(REQUEST_ID, "")
    target = request.get(TARGET)
    if target is not None:
        response.headers["X-Flowpin-Deployment"] = str(target.pin.deployment_id)
        response.headers["X-Flowpin-Version"] = f"v{target.pin.version_number}"
    if request.get(IS_PUBLIC, False):
        cors.allow_everywhere(response)


def _check_path(address: Address) -> None:
    if address.path not in ("", "/"):
        raise PathUnknown
