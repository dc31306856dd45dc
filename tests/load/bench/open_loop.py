"""An open loop over HTTP/1.1: every call has a due time fixed in advance, and is measured from it.

wrk and h2load measure a call from its sending. Calls that they cannot send while they wait for earlier answers are
missing from their percentiles (coordinated omission).
"""

import asyncio
import gc
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.load.bench.request import Request

CONNECTIONS = 512
ANSWER_SECONDS = 10.0
"""Timeout of an answer."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Call:
    """The outcome of one call."""

    due_s: float
    """Due time since the start of the loop."""
    late_ms: float
    """Time from its due time until it was sent."""
    took_ms: float
    """Time from its due time until the whole answer arrived, or it failed."""
    status: int
    """HTTP status. 0 without an answer."""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Event:
    """An action that runs once during the loop, in a thread."""

    at_s: float
    happen: Callable[[], None]


def drive(
    url: str,
    requests: Sequence[Request],
    headers: Mapping[str, str],
    rate: float,
    seconds: float,
    event: Event | None = None,
    connections: int = CONNECTIONS,
) -> list[Call]:
    """Send the requests in turn, `rate` a second for `seconds`. Returns the calls in the order of their due times.

    A call without an answer ANSWER_SECONDS after the last was due is canceled. Raises what `event` raises.
    """
    messages = [_message(url, one, {**headers, **one.headers}) for one in requests]
    gc.disable()  # a garbage collection would delay due calls
    try:
        return asyncio.run(_Loop(url, messages, connections).run(arrivals(rate, seconds), event))
    finally:
        gc.enable()


def statuses(calls: Iterable[Call]) -> str:
    """The number of answers with each HTTP status, as text."""
    counted = Counter(call.status for call in calls)
    return ", ".join(f"{status or 'no answer'}: {count:,}" for status, count in sorted(counted.items()))


def arrivals(rate: float, seconds: float) -> list[float]:
    """Random moments, like those of independent callers, in seconds from 0. They are the same in every run."""
    moments, draw, now = [], random.Random(1), 0.0
    while (now := now + draw.expovariate(rate)) < seconds:
        moments.append(now)
    return moments


class _Loop:
    def __init__(self, url: str, messages: Sequence[bytes], connections: int) -> None:
        self._messages = messages
        self._free: asyncio.LifoQueue[_Connection] = asyncio.LifoQueue()
        for _ in range(connections):
            self._free.put_nowait(_Connection(url))

    async def run(self, due: Sequence[float], event: Event | None) -> list[Call]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        happening = asyncio.create_task(_happening(event)) if event else None
        tasks: list[asyncio.Task[Call]] = []
        for place, moment in enumerate(due):
            await asyncio.sleep(max(0.0, began + moment - loop.time()))
            message = self._messages[place % len(self._messages)]
            tasks.append(asyncio.create_task(self._call(began, moment, message)))
        _, unanswered = await asyncio.wait(tasks, timeout=ANSWER_SECONDS)
        for task in unanswered:
            task.cancel()
        calls = await asyncio.gather(*tasks)
        if happening is not None:
            await happening
        while not self._free.empty():
            self._free.get_nowait().close()
        return calls

    async def _call(self, began: float, due: float, message: bytes) -> Call:
        def since_due() -> float:
            return 1000 * (loop.time() - began - due)

        loop, status, late = asyncio.get_running_loop(), 0, None
        try:
            connection = await self._free.get()
            late = since_due()
            try:
                status = await connection.exchange(message)
            except (OSError, EOFError, ValueError):
                connection.close()
            finally:
                self._free.put_nowait(connection)
        except asyncio.CancelledError:  # canceled, perhaps before it was sent
            pass
        took = since_due()
        return Call(due, took if late is None else late, took, status)


async def _happening(event: Event) -> None:
    await asyncio.sleep(event.at_s)
    await asyncio.to_thread(event.happen)


class _Connection:
    """A connection that is opened at its first use, and again after it was closed."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname or "", parts.port or 80
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, message: bytes) -> int:
        """The answer's status. Raises OSError, EOFError (it broke) or ValueError (the answer is not HTTP)."""
        if self._streams is None or self._streams[0].at_eof():
            self.close()
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        if length := _LENGTH.search(head):
            await reader.readexactly(int(length[1]))
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _message(url: str, request: Request, headers: Mapping[str, str]) -> bytes:
    fields = {"host": urlsplit(url).netloc, **headers, "content-length": str(len(request.body or b""))}
    lines = [f"{request.method} {request.path} HTTP/1.1", *(f"{name}: {text}" for name, text in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + (request.body or b"")
