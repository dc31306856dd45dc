"""Compiles each route into a handler: read the request, call the RPC, write the answer."""

import asyncio
import hashlib
from collections.abc import Callable

from aiohttp import web
from google.protobuf.descriptor import Descriptor
from google.protobuf.message_factory import GetMessageClass

from gateway import compression
from gateway.codec.encode import download_field, writer
from gateway.receiving import Handler, Limits, admitted, metadata_of, parser_of
from gateway.routes import DOWNLOAD_NAME, Route
from service_kit.byte_budget import Reservation
from service_kit.calls import Rpc, Trailers
from service_kit.errors import ServiceError
from service_kit.http import bodies, errors, headers
from service_kit.http.answers import Answer
from service_kit.http.token_checks import TokenChecks

SMALL_ANSWER_BYTES = 64 << 10
"""An answer up to this size is sent to the socket at once, even if its caller does not read."""

Body = tuple[bytes, dict[str, str]]
"""An answer's bytes, and the headers that describe them."""


def handler(route: Route, rpc: Rpc, tokens: TokenChecks, limits: Limits) -> Handler:
    """Answers requests of `route` by calling its RPC.

    No memory or slot is reserved for a request before its token is known to be valid. Then its bytes count as they
    arrive, it waits in the queue of its principal, and its answer counts until it is written.
    """
    parse, write, status = parser_of(route, limits.workers), _writer(route.rpc.output_type), route.status
    queue, budget = limits.queue, limits.budget
    is_read = route.verb == "GET"
    answered = route.rpc.output_type
    may_compress = download_field(answered) is None and not compression.has_secrets(answered)

    async def handle(request: web.Request) -> web.Response:
        try:
            metadata = metadata_of(request)
            principal = await admitted(request, route, metadata, tokens, limits)
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
                reservation.add(len(answer), may_refuse=is_read)  # the answer to a change is never refused
        except ServiceError as error:
            return errors.of_service(error, route.variables)
        is_small = len(answer) <= SMALL_ANSWER_BYTES
        compresses = may_compress and not is_small and compression.takes_gzip(request.headers)
        held = [answer]
        del answer, message  # free documents of many MB, which the next step copies
        has_own_etag = not is_read or "etag" in trailers
        if is_small:
            body, fields = write(held, has_own_etag)
        else:
            body, fields = await asyncio.to_thread(_large, write, held, has_own_etag, compresses)
            if may_compress:
                fields = {**fields, "Vary": "Accept-Encoding"}
        return _answer(request, status, body, fields, trailers, reservation)

    return handle


def _writer(answer: Descriptor) -> Callable[[list[bytes], bool], Body]:
    """Writes the message whose bytes it takes out of a list. So the bytes are freed before the answer is complete.

    Adds an ETag unless `has_own_etag`.
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


def _large(write: Callable[[list[bytes], bool], Body], held: list[bytes], has_own_etag: bool, compresses: bool) -> Body:
    """Write a large answer, in a thread. The ETag is that of the uncompressed answer, because If-Match is compared with
    it."""
    body, fields = write(held, has_own_etag)
    return (compression.gzipped(body), {**fields, "Content-Encoding": "gzip"}) if compresses else (body, fields)


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
