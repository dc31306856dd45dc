"""Compiles each route whose RPC streams into a handler that passes on each message immediately.

An RPC that streams google.api.HttpBody defines the answer itself. Its first message has the content type, and
optionally a google.rpc.HttpResponse with status and headers in `extensions`.

Any other stream is sent as server-sent events with one JSON message each. The message's field `event` names the event,
and `sequence` is its id. A caller that reconnects sends the last id as the header Last-Event-ID, which becomes the
request's field `after`.
"""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.descriptor import Descriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc.http_pb2 import HttpResponse

from gateway.codec.encode import is_passed_on, writer
from gateway.codec.scalars import enum_names
from gateway.receiving import Handler, Limits, admitted, metadata_of, parser_of
from gateway.routes import Route
from service_kit.byte_budget import Reservation
from service_kit.calls import StreamRpc
from service_kit.errors import ServiceError, TooManyRequests
from service_kit.http import bodies, errors
from service_kit.http.event_stream import CONTENT_TYPE, EventStream, event_text
from service_kit.http.middleware import describe
from service_kit.http.token_checks import TokenChecks

SEQUENCE = "sequence"
BROKEN = "failed"
"""The event that ends a stream whose RPC has failed."""

Write = Callable[[bytes], Awaitable[None]]

log = structlog.get_logger()


class StreamPlaces:
    """Counts open streams. They last long, so they have their own limit, and one per principal."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._taken: Counter[Hashable] = Counter()

    @contextmanager
    def taken(self, principal: Hashable) -> Iterator[None]:
        """Count a stream of the principal until the block ends. Raises TooManyRequests."""
        if self._taken.total() >= self._most or self._taken[principal] >= self._most_of_one:
            raise TooManyRequests
        self._taken[principal] += 1
        try:
            yield
        finally:
            self._taken[principal] -= 1
            if not self._taken[principal]:
                del self._taken[principal]


@dataclass(frozen=True, slots=True)
class Streaming:
    """Limits and settings of streams."""

    places: StreamPlaces
    heartbeat_seconds: float


def stream_handler(route: Route, rpc: StreamRpc, tokens: TokenChecks, limits: Limits, streaming: Streaming) -> Handler:
    """Answers requests of `route`. If the caller disconnects, the RPC is canceled."""
    parse = parser_of(route, limits.workers)
    read = _reader(route.rpc.output_type)
    queue = limits.queue

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            metadata = metadata_of(request)
            principal = await admitted(request, route, metadata, tokens, limits)
            with streaming.places.taken(principal), limits.budget.reserve(principal) as reservation:
                body = await bodies.receive(request, reservation, limits.body) if route.has_body else b""
                await queue.enter(principal)
                try:
                    message = await parse(request, principal, body)
                finally:
                    queue.leave(principal)
                del body
                async with aclosing(rpc(message, metadata)) as arriving:
                    del message
                    return await _pass_on(request, read(arriving), reservation, streaming.heartbeat_seconds)
        except ServiceError as error:  # nothing has been sent
            return errors.of_service(error, route.variables)

    return handle


def _reader(output: Descriptor) -> Callable[[AsyncIterator[bytes]], AsyncIterator[HttpBody]]:
    if is_passed_on(output):

        async def read(arriving: AsyncIterator[bytes]) -> AsyncGenerator[HttpBody, None]:
            async for message in arriving:
                yield HttpBody.FromString(message)

        return read

    message_of, write, name_of = GetMessageClass(output).FromString, writer(output), _namer(output)
    has_sequence = SEQUENCE in output.fields_by_name

    async def write_events(arriving: AsyncIterator[bytes]) -> AsyncGenerator[HttpBody, None]:
        async for each in arriving:
            message: Any = message_of(each)
            text = event_text(name_of(message), write(message), message.sequence if has_sequence else "")
            yield HttpBody(content_type=CONTENT_TYPE, data=text)

    return write_events


def _namer(output: Descriptor) -> Callable[[Any], str]:
    """Names the event of a message."""
    field = output.fields_by_name.get("event")
    if field is None:
        return lambda message: "message"
    if field.enum_type is None:
        return lambda message: str(message.event)
    names = {number: name for name, number in enum_names(field.enum_type).items()}
    return lambda message: names.get(message.event, "message")


async def _pass_on(
    request: web.Request, messages: AsyncIterator[HttpBody], reservation: Reservation, heartbeat_seconds: float
) -> web.StreamResponse:
    """Start the answer with the first message. Raises ServiceError for errors before it."""
    first = await anext(messages, HttpBody())
    reservation.close()
    if first.content_type == CONTENT_TYPE:
        stream = EventStream(request, heartbeat_seconds)
        response = stream.response
    else:
        stream = None
        response = web.StreamResponse(headers={"Content-Type": first.content_type or "application/octet-stream"})
    _mark(request, response, first)
    try:
        if stream is not None:
            async with stream:
                await _write_events(stream, first, messages, reservation)
        else:
            await response.prepare(request)
            await _write_all(response.write, first, messages, reservation)
            await response.write_eof()
    except (ConnectionError, ServiceError) as error:  # the caller notices that the answer is cut off
        log.info("stream_broke", error=str(error))
        if request.transport is not None:
            request.transport.abort()
    return response


def _mark(request: web.Request, response: web.StreamResponse, first: HttpBody) -> None:
    describe(request, response)
    for extension in first.extensions:
        head = HttpResponse()
        if extension.Unpack(head):
            response.set_status(head.status or 200)
            response.headers.update({header.key: header.value for header in head.headers})


async def _write_events(
    stream: EventStream, first: HttpBody, messages: AsyncIterator[HttpBody], reservation: Reservation
) -> None:
    try:
        await _write_all(stream.pass_on, first, messages, reservation)
    except ServiceError as error:  # too late for another status
        log.warning("stream_failed", reason=error.reason)
        failure = errors.of_service(error).body
        await stream.send(BROKEN, failure if isinstance(failure, bytes) else b"{}")


async def _write_all(
    write: Write, first: HttpBody, messages: AsyncIterator[HttpBody], reservation: Reservation
) -> None:
    """Write messages. The bytes of each count against the budget until they are written."""
    message: HttpBody | None = first
    while message is not None:
        if message.data:
            reservation.add(len(message.data), may_refuse=False)
            await write(message.data)
            reservation.close()
        message = await anext(messages, None)
