"""Opens connections to the gateway that send nothing, half a head, or only the start of a large body."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from urllib.parse import urlsplit

CONNECTIONS = 384
CONNECT_SECONDS = 10.0
SENT = (
    b"",
    b"GET /v1/work",
    b"POST /v1/workflows HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer dyn_pat_made_up\r\n"
    b"Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{ ",
)
"""The bytes that connections send, in turn, before they wait."""


@asynccontextmanager
async def crowd(url: str) -> AsyncIterator[int]:
    """Keep the connections open until the block ends. Yields their number, because the gateway may refuse some."""
    address = urlsplit(url)
    with ExitStack() as connections:
        opened = await asyncio.gather(
            *(_open(address.hostname, address.port, SENT[place % len(SENT)]) for place in range(CONNECTIONS))
        )
        for each in opened:
            if each is not None:
                connections.enter_context(each)
        yield sum(each is not None for each in opened)


async def _open(host: str | None, port: int | None, sent: bytes) -> socket.socket | None:
    connection, loop = socket.socket(), asyncio.get_running_loop()
    connection.setblocking(False)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await loop.sock_connect(connection, (host, port))
            await loop.sock_sendall(connection, sent)
    except (OSError, TimeoutError):
        connection.close()
        return None
    return connection
