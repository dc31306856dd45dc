"""Connections of callers: how many there may be, how long their parts may take, and how they are refused."""

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
"""How long the rest of a refused body is read and dropped, so that its sender can read the answer."""
MAX_HEAD_BYTES = 64 << 10
RESERVED_DESCRIPTORS = 128
"""Descriptors of the process that are not for callers' connections: channels to services, logs, metrics."""
MAX_SEARCHED = 64
"""Number of connections that are searched for an idle one, beginning with the longest silent ones."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    head_seconds: float
    """How long the head of a request may take to arrive."""
    idle_seconds: float
    """How long a connection stays open between two requests."""
    write_seconds: float
    """How long an answer may wait for a caller that reads nothing of it."""
    max_connections: int
    max_header_bytes: int = 8190
    """Size limit of one header. The default is that of aiohttp."""


class _Closable(Protocol):
    def is_idle(self) -> bool: ...

    def drop(self) -> None: ...


class ConnectionTable:
    """The open connections. At the limit a new one takes the place of one that is idle, or is refused."""

    def __init__(self, max_connections: int) -> None:
        self._max_connections = max_connections
        self._open: OrderedDict[_Closable, None] = OrderedDict()

    def add(self, connection: _Closable) -> bool:
        """False if the limit is reached."""
        if len(self._open) >= self._max_connections and not self._drop_idle():
            return False
        self._open[connection] = None
        return True

    def received(self, connection: _Closable) -> None:
        """The connection is not silent: it is dropped after the others."""
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
    """`wanted`, or as many as the process may have descriptors for. Raises its soft limit for that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED_DESCRIPTORS
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, soft - RESERVED_DESCRIPTORS))


class UnparsedConnection(asyncio.Protocol):
    """A connection until its first request is let in. Only then it gets aiohttp's parser, buffers and task, so that
    thousands that come at once and are refused cost little."""

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
        self._transport.abort()  # a caller that does not read refusals needs no more of them


class Connection(web.RequestHandler):
    """aiohttp's connection with load shedding and bounds; what is not HTTP is refused in the envelope as well."""

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
        """Runs while a head has begun to arrive and is not whole."""
        self._answers = 0
        """Number of answered requests. aiohttp waits for the next one an iteration of the event loop later."""
        self._head_bytes = 0
        self._body_left = 0
        """Bytes of the current request's body that have not arrived yet."""
        self._is_mixed = False
        """It is not known where a request ends, as with pipelining and chunked bodies: nothing is shed from then on."""

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
        """Hand bytes to aiohttp's parser, and bound the rest of a head."""
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
        """The next byte is the first of a request: not the rest of a body that was refused before it had arrived."""
        if self._is_mixed:
            return self.is_idle()
        return self._answers == self._request_count and not self._body_left

    def _follow(self, data: bytes) -> None:
        """Keep track of where a request ends; only of plain ones: a head in one piece, a body of a known length."""
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
        if isinstance(resp, web.HTTPException):  # raised outside the middleware, as an unknown `Expect` is
            resp = errors.of_http(resp)
            resp.headers["X-Request-Id"] = ids.request_id(request.headers.get("X-Request-Id"))
            resp.force_close()
        if not resp.prepared:  # what could not be parsed passes no signal
            resp.headers.update(errors.HARDENED)
            resp.headers["Server"] = ""  # otherwise aiohttp names itself
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
    """The kernel resets a connection whose caller acknowledges nothing, or takes nothing, for `seconds`."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def _sentence(error: BaseException | None) -> str:
    return "The URL or a header is too long." if isinstance(error, LineTooLong) else "The request is not HTTP."
