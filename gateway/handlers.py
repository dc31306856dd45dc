"""Compiles each route into a handler: read the request, call the RPC, write the answer."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass

from aiohttp import web
from google.protobuf.descriptor import Descriptor
from google.protobuf.message_factory import GetMessageClass

from gateway.codec.encode import download_field, writer
from gateway.codec.large_bodies import read_large_body
from gateway.codec.request import from_body, from_query
from gateway.routes import DOWNLOAD_NAME, Route
from service_kit.byte_budget import ByteBudget, Reservation
from service_kit.calls import Metadata, Rpc, Trailers
from service_kit.documents import LARGE_DOCUMENT_BYTES
from service_kit.errors import ServiceError, TooManyRequests
from service_kit.fair_queue import FairQueue
from service_kit.http import bodies, errors, headers
from service_kit.http.answers import Answer
from service_kit.http.bodies import BodyLimits
from service_kit.http.middleware import REQUEST_ID
from service_kit.http.rates import RateLimiter
from service_kit.http.token_checks import TokenChecks
from service_kit.workers.pool import WorkerPool

SMALL_ANSWER_BYTES = 64 << 10
"""An answer of this size is written at once, whether or not its caller reads."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What requests share: places at work, memory, what a body may take, worker processes."""

    queue: FairQueue
    budget: ByteBudget
    body: BodyLimits
    workers: WorkerPool
    rates: RateLimiter | None = None


Parser = Callable[[web.Request, Hashable, bytes], Awaitable[bytes]]
"""Makes the RPC's request, serialized, from an HTTP request and its body. Raises ServiceError."""
Body = tuple[bytes, dict[str, str]]
"""An answer's bytes, and the headers that describe them."""


def handler(route: Route, rpc: Rpc, tokens: TokenChecks, limits: Limits) -> Handler:
    """Answers requests of `route` by calling its RPC.

    Nothing is counted or held for a request before its token is known to be valid. Then its bytes count as they arrive,
    it takes its place among the principal's other calls, and its answer counts until it is written.
    """
    parse, write, status = _parser(route, limits.workers), _writer(route.rpc.output_type), route.status
    queue, budget, rates = limits.queue, limits.budget, limits.rates
    is_read = route.verb == "GET"

    async def handle(request: web.Request) -> web.Response:
        try:
            metadata = _metadata(request)
            if route.has_body:
                bodies.check_head(request, limits.body)
            principal = await tokens.check(metadata["authorization"])
            if rates is not None:
                rates.check(request, principal)
            if queue.is_full_for(principal):
                raise TooManyRequests  # before a body is read in vain
            reservation = budget.reserve(principal)
            body = await bodies.receive(request, reservation, limits.body) if route.has_body else b""
            await queue.enter(principal)
            try:
                message = await parse(request, principal, body)
                del body
                answer, trailers = await rpc(message, metadata)
            finally:
                queue.leave(principal)
            reservation.close()
            if len(answer) > SMALL_ANSWER_BYTES:
                reservation.add(len(answer), may_refuse=is_read)  # a change that was made is answered
        except ServiceError as error:
            return errors.of_service(error, route.variables)
        is_small = len(answer) <= SMALL_ANSWER_BYTES
        held = [answer]
        del answer, message  # documents, maybe of many MB, of which the next step makes one more copy
        has_own_etag = not is_read or "etag" in trailers
        if is_small:
            body, fields = write(held, has_own_etag)
        else:
            body, fields = await asyncio.to_thread(write, held, has_own_etag)
        return _answer(request, status, body, fields, trailers, reservation)

    return handle


def _parser(route: Route, workers: WorkerPool) -> Parser:
    request_type, variables = route.rpc.input_type, route.variables
    if route.has_body:
        read_body = from_body(request_type, variables)

        async def parse(request: web.Request, principal: Hashable, body: bytes) -> bytes:
            path = request.match_info
            if len(body) < LARGE_DOCUMENT_BYTES:
                return read_body(path, body).SerializeToString()
            return await workers.run(principal, read_large_body, request_type.full_name, variables, dict(path), body)

    else:
        read_query = from_query(request_type, variables)

        async def parse(request: web.Request, principal: Hashable, body: bytes) -> bytes:
            return read_query(request.match_info, request.query).SerializeToString()

    return parse


def _metadata(request: web.Request) -> Metadata:
    return {
        "authorization": headers.authorization(request.headers),
        "x-request-id": request[REQUEST_ID],
        **dict(headers.passed_on(request.headers)),
    }


def _writer(answer: Descriptor) -> Callable[[list[bytes], bool], Body]:
    """Writes the message whose bytes it takes out of a list, so that nobody holds them while it does.

    With an ETag unless the answer has its own, or is to have none.
    """
    message_of = GetMessageClass(answer).FromString
    downloaded = download_field(answer)
    write_json, is_json = writer(answer), {"Content-Type": "application/json"}

    def write(held: list[bytes], has_own_etag: bool) -> Body:
        message = message_of(held.pop())
        if downloaded is None:
            body, fields = write_json(message), is_json
        else:
            download = getattr(message, downloaded)
            body = download.data
            fields = {
                "Content-Type": download.content_type or "application/octet-stream",
                "Content-Disposition": f"attachment; filename={DOWNLOAD_NAME}",
            }
        if not has_own_etag:
            fields = {**fields, "ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"'}
        return body, fields

    return write


def _answer(
    request: web.Request,
    status: int,
    body: bytes,
    described: dict[str, str],
    trailers: Trailers,
    reservation: Reservation,
) -> web.Response:
    reads = request.method in ("GET", "HEAD")
    etag = trailers.get("etag") or described.get("ETag")
    if etag is not None:
        if reads and headers.is_current(request.headers, etag):
            return web.Response(status=304, headers={"ETag": etag})
        described = {**described, "ETag": etag}
    answer = Answer(status=status, body=body, headers=_marked(described, trailers))
    answer.reservation = reservation
    return answer


def _marked(fields: dict[str, str], trailers: Trailers) -> dict[str, str]:
    return fields if "idempotent-replayed" not in trailers else {**fields, "Idempotent-Replayed": "true"}
