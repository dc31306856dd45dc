"""Limits callers' connections: their number, and the time of each step. Refuses others."""

import asyncio
import resource
import socket
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol, cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import ContentEncodingError, LineTooLong
from aiohttp.web_request import BaseRequest

from service_kit import ids
from service_kit.http import errors
from service_kit.http.bodies import UnsupportedEncoding
from service_kit.http.overload import LENGTH, LoadShedder

LINGERING_SECONDS = 2.0
"""How long the rest of a refused body is read and discarded, so that its sender can read the answer."""
MAX_HEAD_BYTES = 64 << 10
RESERVED_DESCRIPTORS = 128
"""Descriptors that are reserved for channels to services, logs and metrics."""
MAX_SEARCHED = 64
"""Number of connections that are searched for an idle one, starting with the ones that were silent longest."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    head_seconds: float
    """How long the head of a request may take to arrive."""
    idle_seconds: float
    """How long a connection stays open between two requests."""
    write_seconds: float
    """How long an answer may wait for a caller that does not read it."""
    max_connections: int
    max_header_bytes: int = 8190
    """Size limit of one header. The default is aiohttp's."""


class _Closable(Protocol):
    def is_idle(self) -> bool: ...

    def drop(self) -> None: ...


class ConnectionTable:
    """The open connections. At the limit, a new one replaces an idle one or is refused."""

    def __init__(self, max_connections: int) -> None:
        self._max_connections = max_connections
        self._open: OrderedDict[_Closable, None] = OrderedDict()

    def add(self, connection: _Closable) -> bool:
        """Add a connection. False if the limit is reached and no idle one was found."""
        if len(self._open) >= self._max_connections and not self._drop_idle():
            return False
        self._open[connection] = None
        return True

    def received(self, connection: _Closable) -> None:
        """Move the connection to the end, because it is not silent: silent ones are dropped first."""
        self._open.move_to_end(connection)

    def replace(self, old: _Closable, new: _Closable) -> None:
        self._open.pop(old, None)
        self._open[new] = None

    def remove(self, connection: _Closable) -> None:
        self._open.pop(connection, None)

    def _drop_idle(self) -> bool:
        for _, connection in zip(range(MAX_SEARCHED), self._open, strict=False):
            if connection.is_idle():
                self.remove(connection)
                connection.drop()
                return True
        return False


def max_open_connections(wanted: int) -> int:
    """`wanted`, or fewer if the process may have too few descriptors. Raises the soft limit if needed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED_DESCRIPTORS
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, soft - RESERVED_DESCRIPTORS))


class UnparsedConnection(asyncio.Protocol):
    """A connection until its first request is admitted. Only then does it get aiohttp's parser, buffers and task, so
    that thousands of refused connections cost little."""

    __slots__ = ("_deadline", "_limits", "_loop", "_server", "_shedder", "_table", "_transport")

    def __init__(
        self,
        server: web.Server,
        shedder: LoadShedder,
        table: ConnectionTable,
        limits: ConnectionLimits,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._server = server
        self._shedder = shedder
        self._table = table
        self._limits = limits
        self._loop = loop
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._table.add(self):
            self._transport.abort()
            return
        _bound_writes(self._transport, self._limits.write_seconds)
        self._deadline = self._loop.call_later(self._limits.head_seconds, self._transport.close)

    def connection_lost(self, error: Exception | None) -> None:
        self._table.remove(self)
        if self._deadline is not None:
            self._deadline.cancel()

    def is_idle(self) -> bool:
        return True

    def drop(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        refusal = self._shedder.refusal(data)
        if refusal is not None:
            self._table.received(self)
            self._transport.write(refusal)
            self._deadline = self._loop.call_later(self._limits.idle_seconds, self._transport.close)
            return
        connection = Connection(self._server, self._shedder, self._table, self._limits, self._loop)
        self._table.replace(self, connection)
        self._transport.set_protocol(connection)
        connection.connection_made(self._transport)
        connection.parse(data)

    def pause_writing(self) -> None:
        self._transport.abort()  # send no more refusals to a caller that does not read them


class Connection(web.RequestHandler):
    """aiohttp's connection with load shedding and limits. Input that is not HTTP is also refused with the error
    envelope."""

    __slots__ = (
        "_answers",
        "_body_left",
        "_head_bytes",
        "_head_deadline",
        "_head_seconds",
        "_is_mixed",
        "_shedder",
        "_table",
    )

    def __init__(
        self,
        server: web.Server,
        shedder: LoadShedder,
        table: ConnectionTable,
        limits: ConnectionLimits,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=limits.idle_seconds,
            lingering_time=LINGERING_SECONDS,
            max_field_size=limits.max_header_bytes,
        )
        self._shedder = shedder
        self._table = table
        self._head_seconds = limits.head_seconds
        self._head_deadline: asyncio.TimerHandle | None = None
        """Runs while a head has arrived only partly."""
        self._answers = 0
        """Number of answered requests. aiohttp waits for the next request one turn of the event loop later."""
        self._head_bytes = 0
        self._body_left = 0
        """Bytes of the current request's body that have not arrived yet."""
        self._is_mixed = False
        """True if the end of a request is unknown, as with pipelining and chunked bodies. Then no later request is
        shed."""

    def is_idle(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def drop(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self._is_mixed and self._is_between_requests() and self._head_deadline is None:
            refusal = self._shedder.refusal(data)
            if refusal is not None and self.transport is not None:
                self._table.received(self)
                self.transport.write(refusal)
                return
        self.parse(data)

    def parse(self, data: bytes) -> None:
        """Pass bytes to aiohttp's parser, and limit the time for the rest of a head."""
        if self.transport is not None:
            self._table.received(self)
        requests = self._request_count
        is_between_requests = self._is_between_requests()
        if not self._is_mixed:
            self._follow(data)
        super().data_received(data)
        if self._request_count > requests:
            self._end_head()
        elif is_between_requests and self.transport is not None:
            self._bound_head(self.transport, len(data))

    def _is_between_requests(self) -> bool:
        """Whether the next byte starts a request. Otherwise it may belong to a body that was refused before it
        arrived."""
        if self._is_mixed:
            return self.is_idle()
        return self._answers == self._request_count and not self._body_left

    def _follow(self, data: bytes) -> None:
        """Track where a request ends. Only for plain ones, with a head in one piece and a body of known length."""
        if not data:
            return
        if self._body_left:
            self._body_left -= len(data)
        else:
            head, ended, body = data.partition(b"\r\n\r\n")
            lower = head.lower()
            length = LENGTH.search(lower) if b"\r\ncontent-length" in lower else None
            if not ended or b"\r\ntransfer-encoding" in lower:
                self._is_mixed = True
            self._body_left = (int(length[1]) if length else 0) - len(body)
        if self._body_left < 0:
            self._is_mixed, self._body_left = True, 0

    def connection_lost(self, exc: BaseException | None) -> None:
        self._table.remove(self)
        self._end_head()
        super().connection_lost(exc)

    def _bound_head(self, transport: asyncio.Transport, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            answer = errors.as_bytes(errors.head_too_large())
            transport.write(answer.replace(b"{id}", ids.new_request_id().encode()))
            transport.close()
        elif self._head_deadline is None:
            self._head_deadline = self._loop.call_later(self._head_seconds, transport.close)

    def _end_head(self) -> None:
        self._head_bytes = 0
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPException):  # raised outside the middleware, for example for an unknown `Expect`
            resp = errors.of_http(resp)
            resp.headers["X-Request-Id"] = ids.request_id(request.headers.get("X-Request-Id"))
            resp.force_close()
        if not resp.prepared:  # signals are not sent for requests that could not be parsed
            resp.headers.update(errors.HARDENED)
            resp.headers["Server"] = ""  # otherwise aiohttp sends its own name
        finished = await super().finish_response(request, resp, start_time)
        self._answers += 1
        return finished

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("The answer has begun already.")
        request_id = ids.request_id(request.headers.get("X-Request-Id"))
        if status >= 500:
            log.error("connection_broke", request_id=request_id, exc_info=exc)
            response = errors.internal()
        elif isinstance(exc, ContentEncodingError):
            response = errors.of_http(UnsupportedEncoding())
        else:
            log.info("request_handled", request_id=request_id, status=status, error=type(exc).__name__)
            response = errors.envelope(status, "bad_request", _sentence(exc))
        response.headers["X-Request-Id"] = request_id
        response.force_close()
        return response


def _bound_writes(transport: asyncio.Transport, seconds: float) -> None:
    """Let the kernel reset a connection whose caller acknowledges or accepts nothing for `seconds`."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def _sentence(error: BaseException | None) -> str:
    return "The URL or a header is too long." if isinstance(error, LineTooLong) else "The request is not HTTP."
