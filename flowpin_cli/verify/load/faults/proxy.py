"""A TCP proxy in front of Postgres. Its connections can go silent in the same ways as real ones."""

import asyncio
import ctypes
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from flowpin_cli.machine.data_folder import LOOPBACK

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
DROP_ALL = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: keep 0 bytes of each packet
READ_BYTES = 1 << 16


@dataclass(eq=False)
class Link:
    """A service's connection, and the corresponding one to Postgres."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    passes: asyncio.Event = field(default_factory=asyncio.Event)


class Proxy:
    """Forwards to a Postgres on a Unix socket."""

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    def url(self, role: str, database: str) -> str:
        return f"postgresql://{role}@{LOOPBACK}:{self.port}/{database}?sslmode=disable"

    def freeze(self) -> None:
        """Stop forwarding on existing connections. Their data is still acknowledged."""
        for link in self._links:
            link.passes.clear()

    def drop_packets(self) -> None:
        """Stop acknowledging data on existing connections, as if the other machine were gone."""
        program = struct.pack("HL", 1, ctypes.addressof(DROP_ALL))
        for link in self._links:
            with suppress(OSError):
                link.client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)

    def thaw(self) -> None:
        for link in self._links:
            link.passes.set()
            with suppress(OSError):
                link.client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)

    def reset(self) -> None:
        """End every connection with a TCP reset."""
        for link in self._links:
            connection = link.client.get_extra_info("socket")
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link.client.transport.abort()
            link.server.transport.abort()

    async def accept(self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs this in one
        self._tasks.add(task)
        try:
            server_reader, server = await asyncio.open_unix_connection(self._socket_path)
        except OSError:  # Postgres is restarting
            client.close()
            self._tasks.discard(task)
            return
        link = Link(client, server)
        link.passes.set()
        self._links.add(link)
        await asyncio.gather(_forward(link, client_reader, server), _forward(link, server_reader, client))
        self._links.discard(link)
        self._tasks.discard(task)

    async def close(self) -> None:
        self.thaw()
        self.reset()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _forward(link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(READ_BYTES):
            await link.passes.wait()
            writer.write(data)
            await writer.drain()
    await link.passes.wait()
    writer.close()


@asynccontextmanager
async def running_proxy(socket_path: Path) -> AsyncIterator[Proxy]:
    proxy = Proxy(socket_path)
    server = await asyncio.start_server(proxy.accept, LOOPBACK, 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
