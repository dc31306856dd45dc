"""A caller's connection."""

import asyncio
from typing import cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_request import BaseRequest

from gateway import errors, headers
from gateway.door import Door

log = structlog.get_logger()


class Arrival(asyncio.Protocol):
    """A connection until its first request is let in. Only then it gets aiohttp's parser, buffers and task, so that
    thousands which come at once and are refused cost little."""

    __slots__ = ("_door", "_loop", "_server", "_transport")

    def __init__(self, server: web.Server, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._door = door
        self._loop = loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        refusal = self._door.refusal(data)
        if refusal is not None:
            self._transport.write(refusal)
            return
        connection = Connection(self._server, self._door, self._loop)
        self._transport.set_protocol(connection)
        connection.connection_made(self._transport)
        connection.data_received(data)

    def pause_writing(self) -> None:
        self._transport.abort()  # who does not read what is answered needs no more of it


class Connection(web.RequestHandler):
    """aiohttp's, with the door before it; what is not HTTP is refused in the envelope as well."""

    __slots__ = ("_begun", "_door")

    def __init__(self, server: web.Server, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(server, loop=loop)
        self._door = door
        self._begun = False
        """A request has begun to arrive and its head is not yet whole."""

    def data_received(self, data: bytes) -> None:
        waiter = self._waiter
        idle = waiter is not None and not waiter.done() and not self._begun
        if idle and self.transport is not None and (refusal := self._door.refusal(data)) is not None:
            self.transport.write(refusal)
            return
        super().data_received(data)
        self._begun = waiter is not None and not waiter.done()

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("The answer has begun already.")
        request_id = headers.request_id(request.headers)
        if status >= 500:
            log.error("connection_broke", request_id=request_id, exc_info=exc)
            response = errors.internal()
        else:
            log.info("request", request_id=request_id, status=status, why=type(exc).__name__)
            response = errors.envelope(status, "bad_request", _why(exc))
        response.headers["X-Request-Id"] = request_id
        response.force_close()
        return response


def _why(error: BaseException | None) -> str:
    return "The URL or a header is too long." if isinstance(error, LineTooLong) else "This is not HTTP."
