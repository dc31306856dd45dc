"""Streams events of a page's deployments or versions to the browser, which then reloads the page."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from aiohttp import web

from service_kit.errors import ServiceError, TooManyRequests
from service_kit.http.event_stream import EventStream

HEARTBEAT_SECONDS = 15.0
MOST_STREAMS, MOST_OF_ONE = 512, 32

log = structlog.get_logger()


@dataclass
class Streams:
    """The open streams of this process. They are nearly always idle, so they do not count as requests in progress."""

    open: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def place(self, token: str) -> Iterator[None]:
        """Count a stream of this token until the block ends. Raises TooManyRequests."""
        if self.open.total() >= MOST_STREAMS or self.open[token] >= MOST_OF_ONE:
            raise TooManyRequests
        self.open[token] += 1
        try:
            yield
        finally:
            self.open[token] -= 1
            if not self.open[token]:
                del self.open[token]


async def follow(request: web.Request, events: AsyncIterator[str]) -> web.StreamResponse:
    """Send the name of each event. Raises ServiceError if the stream fails before its first event. The script then
    polls."""
    first = await anext(events)
    stream = EventStream(request, HEARTBEAT_SECONDS)
    try:
        async with stream:
            await stream.send(first, b"{}")
            async for name in events:
                await stream.send(name, b"{}")
    except (ConnectionError, ServiceError) as error:  # the browser reconnects or polls
        log.info("stream_broke", error=str(error))
        if request.transport is not None:
            request.transport.abort()
    return stream.response
