"""Writes named server-sent events, and a comment after each silence."""

import asyncio
import re
from types import TracebackType

from aiohttp import web

CONTENT_TYPE = "text/event-stream"
COMMENT = b": still at work\n\n"
NOT_IN_NAMES = re.compile(r"[\r\n\0]")


def event_text(event: str, data: bytes, event_id: str = "") -> bytes:
    """An event as it is sent. `data` is JSON. A browser that reconnects sends the last `event_id`."""
    named = b"id: " + NOT_IN_NAMES.sub(" ", event_id).encode("utf-8", "replace") + b"\n" if event_id else b""
    lines = b"".join(b"data: " + line + b"\n" for line in data.splitlines() or [b""])
    return named + b"event: " + NOT_IN_NAMES.sub(" ", event).encode("utf-8", "replace") + b"\n" + lines + b"\n"


class EventStream:
    """Use it as `async with EventStream(…) as stream: await stream.send(…)`. The answer begins with the block."""

    def __init__(self, request: web.Request, heartbeat_seconds: float) -> None:
        """A comment follows `heartbeat_seconds` without an event.

        The kernel resets the connection of a caller that accepts nothing (TCP_USER_TIMEOUT, in `connections`).
        """
        self.response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-cache"})
        self._request = request
        self._heartbeat_seconds = heartbeat_seconds
        self._has_sent = asyncio.Event()
        self._beating: asyncio.Task[None] | None = None

    async def send(self, event: str, data: bytes) -> None:
        """Send JSON, of one line or more. Raises ConnectionError when the caller has disconnected."""
        await self.pass_on(event_text(event, data))

    async def pass_on(self, text: bytes) -> None:
        """Send complete events unchanged. Raises ConnectionError when the caller has disconnected."""
        await self.response.write(text)
        self._has_sent.set()

    async def __aenter__(self) -> "EventStream":
        await self.response.prepare(self._request)
        self._beating = asyncio.create_task(self._beat())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
        if error is None:
            await self.response.write_eof()

    async def _beat(self) -> None:
        while True:
            self._has_sent.clear()
            try:
                async with asyncio.timeout(self._heartbeat_seconds):
                    await self._has_sent.wait()
            except TimeoutError:
                try:
                    await self.response.write(COMMENT)
                except ConnectionError:
                    return  # the next send raises it
