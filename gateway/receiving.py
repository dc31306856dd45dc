"""Handles a request before its RPC is called: checks its caller, and reads it."""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass

from aiohttp import web
from multidict import MultiDict, MultiMapping

from gateway.codec.form import files_field
from gateway.codec.large_bodies import read_large_body
from gateway.codec.request import from_body, from_query
from gateway.routes import Route
from service_kit.byte_budget import ByteBudget
from service_kit.calls import Metadata
from service_kit.documents import LARGE_DOCUMENT_BYTES
from service_kit.errors import TooManyRequests
from service_kit.fair_queue import FairQueue
from service_kit.http import bodies, headers
from service_kit.http.bodies import BodyLimits
from service_kit.http.middleware import REQUEST_ID
from service_kit.http.rates import RateLimiter
from service_kit.http.token_checks import TokenChecks
from service_kit.workers.pool import WorkerPool

LAST_EVENT_ID = "Last-Event-ID"
AFTER = "after"
"""The field of a stream's request with the position after which the stream resumes."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of requests: concurrency, memory, time for bodies, worker processes."""

    queue: FairQueue
    budget: ByteBudget
    body: BodyLimits
    workers: WorkerPool
    rates: RateLimiter | None = None


Parser = Callable[[web.Request, Hashable, bytes], Awaitable[bytes]]
"""Converts an HTTP request and its body to the RPC's request, serialized. Raises ServiceError."""


async def admitted(
    request: web.Request, route: Route, metadata: Metadata, tokens: TokenChecks, limits: Limits
) -> bytes:
    """The principal of the caller. No memory or slot is reserved before its token is known to be valid.

    Raises ServiceError, or an error of `bodies.check_head`.
    """
    if route.has_body:
        bodies.check_head(request, limits.body)
    principal = await tokens.check(metadata["authorization"])
    if limits.rates is not None:
        limits.rates.check(request, principal)
    if limits.queue.is_full_for(principal):
        raise TooManyRequests  # so that the body is not read for nothing
    return principal


def parser_of(route: Route, workers: WorkerPool) -> Parser:
    request_type, variables = route.rpc.input_type, route.variables
    if route.has_body:
        read_body = from_body(request_type, variables)
        takes_files = files_field(request_type) is not None

        async def parse(request: web.Request, principal: Hashable, body: bytes) -> bytes:
            path = request.match_info
            content_type = request.headers.get("Content-Type", "") if takes_files else ""
            if len(body) < LARGE_DOCUMENT_BYTES:
                return read_body(path, body, content_type).SerializeToString()
            kind = request_type.full_name
            return await workers.run(principal, read_large_body, kind, variables, dict(path), body, content_type)

    else:
        read_query = from_query(request_type, variables)

        resumes = route.is_stream and AFTER in request_type.fields_by_name

        async def parse(request: web.Request, principal: Hashable, body: bytes) -> bytes:
            query: MultiMapping[str] = request.query
            if resumes and (last := request.headers.get(LAST_EVENT_ID)):
                # A browser sends this when it reconnects. It is later than the position in the URL.
                query = MultiDict({**request.query, AFTER: last})
            return read_query(request.match_info, query).SerializeToString()

    return parse


def metadata_of(request: web.Request) -> Metadata:
    return {
        "authorization": headers.authorization(request.headers),
        "x-request-id": request[REQUEST_ID],
        **dict(headers.passed_on(request.headers)),
    }
