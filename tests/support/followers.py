"""Follows a watch RPC like a client that resumes where its last stream ended."""

import asyncio
from collections.abc import Callable
from typing import Any

from grpc.aio import EOF


class Follower:
    """The events of a watch. `begin` starts a stream, with `after` unset or set to the last received sequence."""

    def __init__(self, begin: Callable[[str | None], Any]) -> None:
        self._begin = begin
        self._call: Any = None
        self.sequence: str | None = None
        self.events: list[Any] = []

    async def __aenter__(self) -> "Follower":
        await self.reconnect(self._begin)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._call.cancel()

    async def reconnect(self, begin: Callable[[str | None], Any] | None = None) -> None:
        """Cancel the stream and resume with another one, which may use another replica."""
        if self._call is not None:
            self._call.cancel()
        self._begin = begin or self._begin
        self._call = self._begin(self.sequence)
        first = await self._read(10)
        assert (
            first.DESCRIPTOR.fields_by_name["event"].enum_type.values_by_number[first.event].name.endswith("POSITION")
        )

    async def _read(self, seconds: float) -> Any:
        async with asyncio.timeout(seconds):
            message = await self._call.read()
        self.sequence = message.sequence
        return message

    async def next(self, seconds: float = 10) -> Any:
        """The next event. Raises TimeoutError."""
        event = await self._read(seconds)
        self.events.append(event)
        return event

    async def take(self, count: int, seconds: float = 20) -> list[str]:
        """The names of the next events."""
        return [name_of(await self.next(seconds)) for _ in range(count)]


def name_of(message: Any) -> str:
    enum = message.DESCRIPTOR.fields_by_name["event"].enum_type
    name = enum.values_by_number[message.event].name
    return str(name).partition("_EVENT_")[2].lower()


async def drained(stream: Any) -> None:
    """All events of a stream that ends soon."""
    async with asyncio.timeout(20):
        while await stream.read() is not EOF:
            pass
