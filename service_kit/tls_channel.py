"""A gRPC channel over TLS that uses new certificates without dropping a call."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc

from service_kit.lifecycle import in_background
from service_kit.tls import Followed, TlsFiles, channel_credentials

OLD_SECONDS = 330.0
"""How long calls may continue on connections with old certificates. This is longer than any call takes."""


class TlsChannel(grpc.aio.Channel):
    """Opens a channel. When the files have changed, it opens another one for new calls."""

    def __init__(self, files: TlsFiles, open_channel: Callable[[grpc.ChannelCredentials], grpc.aio.Channel]) -> None:
        """Raises TlsError."""
        self._followed = Followed(files, channel_credentials)
        self._open = open_channel
        self._current = open_channel(self._followed.made)
        self._closing: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "TlsChannel":
        await self._stack.enter_async_context(in_background(self._followed.follow(self._replace)))
        return self

    async def __aexit__(self, *failure: Any) -> bool | None:
        await self.close()
        return await self._stack.__aexit__(*failure)

    def _replace(self) -> None:
        old, self._current = self._current, self._open(self._followed.made)
        task = asyncio.create_task(old.close(OLD_SECONDS))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self, grace: float | None = None) -> None:
        for task in self._closing:
            task.cancel()
        await self._current.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._current.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._current.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._current.channel_ready()

    def unary_unary(self, method: str, *args: Any, **options: Any) -> Any:
        return self._calls(lambda channel: channel.unary_unary(method, *args, **options))

    def unary_stream(self, method: str, *args: Any, **options: Any) -> Any:
        return self._calls(lambda channel: channel.unary_stream(method, *args, **options))

    def stream_unary(self, method: str, *args: Any, **options: Any) -> Any:
        return self._calls(lambda channel: channel.stream_unary(method, *args, **options))

    def stream_stream(self, method: str, *args: Any, **options: Any) -> Any:
        return self._calls(lambda channel: channel.stream_stream(method, *args, **options))

    def _calls(self, of: Callable[[grpc.aio.Channel], Any]) -> Callable[..., Any]:
        """The callable for a stub: the RPC on the current channel."""
        channel, multicallable = self._current, of(self._current)

        def call(*args: Any, **options: Any) -> Any:
            nonlocal channel, multicallable
            if channel is not self._current:
                channel, multicallable = self._current, of(self._current)
            return multicallable(*args, **options)

        return call
