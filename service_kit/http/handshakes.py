"""TLS handshakes of callers' connections. They have limits, because callers are not authenticated yet."""

import asyncio
import ssl
from typing import cast

import structlog

from service_kit.http.connections import ConnectionLimits, ConnectionTable, UnparsedConnection

log = structlog.get_logger()


class TlsHandshake(asyncio.Protocol):
    """A connection during its TLS handshake. It counts as open from the start."""

    def __init__(
        self, context: ssl.SSLContext, unparsed: UnparsedConnection, table: ConnectionTable, limits: ConnectionLimits
    ) -> None:
        self._context = context
        self._unparsed = unparsed
        self._table = table
        self._seconds = limits.head_seconds
        self._early = bytearray()
        """Bytes that arrived too early: the first message of the handshake, or a request right after it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._table.add(self):
            self._transport.abort()
            return
        self._task = asyncio.get_running_loop().create_task(self._shake_hands())

    async def _shake_hands(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            # The loop may already have read bytes since `connection_made`. They are the beginning of the handshake.
            self._transport.pause_reading()
            handshake = loop.create_task(
                loop.start_tls(
                    self._transport, self, self._context, server_side=True, ssl_handshake_timeout=self._seconds
                )
            )
            await asyncio.sleep(0)  # now its own protocol is set, and does not read yet
            self._hand_over(self._transport.get_protocol())
            encrypted = await handshake
        except (OSError, ConnectionError, TimeoutError) as error:  # an SSLError is an OSError
            log.debug("handshake_failed", error=getattr(error, "reason", None) or type(error).__name__)
            encrypted = None
        self._table.remove(self)
        if encrypted is None or encrypted.is_closing():
            self._transport.abort()
            return
        encrypted.set_protocol(self._unparsed)
        self._unparsed.connection_made(encrypted)
        if self._early:
            self._unparsed.data_received(bytes(self._early))

    def _hand_over(self, protocol: asyncio.BaseProtocol) -> None:
        if self._early:
            handshake = cast("asyncio.BufferedProtocol", protocol)  # uvloop's protocol does not inherit from it
            left, self._early = memoryview(bytes(self._early)), bytearray()
            while left:
                buffer = memoryview(handshake.get_buffer(len(left)))
                count = min(len(buffer), len(left))
                buffer[:count] = left[:count]
                handshake.buffer_updated(count)
                left = left[count:]

    def data_received(self, data: bytes) -> None:
        self._early += data

    def connection_lost(self, error: Exception | None) -> None:
        self._table.remove(self)

    def is_idle(self) -> bool:
        return True

    def drop(self) -> None:
        self._transport.abort()
