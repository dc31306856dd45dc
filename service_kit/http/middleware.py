"""Middleware of every request: id, log line, error envelope, and a count for the drain."""

import asyncio
import re
import time
from contextlib import suppress

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from service_kit import ids
from service_kit.http import errors, metrics, rates

UNRESERVED = re.compile(r"%(?:2[DE]|3\d|[46][1-9A-F]|5[0-9AF]|7[0-9AE])", re.IGNORECASE)
"""An encoded character that needs no encoding (RFC 3986, section 2.3). aiohttp routes such a path like the plain one,
but a proxy in front with rules for paths may not recognize it."""
REQUEST_ID = web.RequestKey("request_id", str)

log = structlog.get_logger()


def describe(request: web.Request, response: web.StreamResponse) -> None:
    """Add the common headers to an answer. A streamed answer needs them before its first byte."""
    response.headers["X-Request-Id"] = request[REQUEST_ID]
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers.update(request.get(rates.HEADERS, {}))


async def harden(request: web.Request, response: web.StreamResponse) -> None:
    """An `on_response_prepare` signal for every answer. It forbids guessing of types, and removes the library's
    name."""
    response.headers.update(errors.HARDENED)
    response.headers.popall("Server", None)


class RequestMiddleware:
    """Counts the requests in progress, and knows whether the process is about to stop."""

    def __init__(self) -> None:
        self.draining = False
        self._under_way = 0
        self._idle = asyncio.Event()

    @web.middleware
    async def follow(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        request_id = request[REQUEST_ID] = ids.request_id(request.headers.get("X-Request-Id"))
        status = 499  # the caller disconnected
        self._under_way += 1
        try:
            response = await self._answer(request, handler)
            describe(request, response)
            if self.draining or not request.content.is_eof():  # the rest of a refused body need not be read
                response.force_close()
            status = response.status
            return response
        finally:
            self._under_way -= 1
            if not self._under_way and self.draining:
                self._idle.set()
            resource = request.match_info.route.resource
            route = None if resource is None else resource.canonical
            seconds = time.perf_counter() - started
            metrics.count_request(request.method, route, status, seconds)
            log.info(
                "request_handled",
                request_id=request_id,
                method=request.method,
                route=route,
                status=status,
                duration_ms=round(seconds * 1000, 2),
            )

    async def drain(self, seconds: float) -> None:
        """Return when no request is in progress, or after `seconds`."""
        self.draining = True
        if self._under_way:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._idle.wait()

    @staticmethod
    async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if "%" in request.raw_path and UNRESERVED.search(request.raw_path.partition("?")[0]):
                raise web.HTTPNotFound
            return await handler(request)
        except web.HTTPException as error:
            return errors.of_http(error)
        except web.RequestPayloadError:
            return errors.envelope(400, "bad_request", "The body does not match its headers.")
        except Exception:
            log.exception("request_broke", request_id=request[REQUEST_ID])
            return errors.internal()
