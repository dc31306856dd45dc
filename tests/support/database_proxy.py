"""A TCP proxy before a test's Postgres. Its connections can go silent in all ways that real ones do."""

import asyncio
import ctypes
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
DROP_ALL = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: return 0 bytes of each packet


@dataclass(eq=False)
class Link:
    """A client's connection, and the one to Postgres behind it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    passes: asyncio.Event = field(default_factory=asyncio.Event)


class DatabaseProxy:
    def __init__(self, url: str) -> None:
        """`url`: of a Postgres on a Unix socket."""
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        self._database = parts.path
        self._path = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None] | None] = set()
        self._new_ones_pass = True
        self.hides_ends = False
        """Whether the proxy hides from clients that Postgres closed their connection."""
        self.freezes_after: int | None = None
        """Freeze after so many further answers of Postgres on any connection. None: never."""
        self.first_messages: list[bytes] = []
        self.port = 0

    def url(self, role: str) -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}{self._database}?sslmode=disable"

    def freeze(self, *, new_ones: bool = False) -> None:
        """Forward nothing more, but acknowledge what is sent, like a hanging process."""
        self._new_ones_pass = not new_ones
        for link in self._links:
            link.passes.clear()

    def drop_packets(self) -> None:
        """Acknowledge nothing more on existing connections, as if the other machine was gone."""
        program = struct.pack("HL", 1, ctypes.addressof(DROP_ALL))
        for link in self._links:
            link.client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)

    def thaw(self) -> None:
        self._new_ones_pass = True
        for link in self._links:
            link.passes.set()
            with suppress(OSError):
                link.client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["DatabaseProxy"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.thaw()
            for link in self._links:
                link.client.transport.abort()
                link.server.transport.abort()
            await asyncio.gather(*filter(None, self._tasks))

    async def _accept(self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        try:
            server_reader, server = await asyncio.open_unix_connection(self._path)
        except OSError:
            client.close()
            return
        link = Link(client, server)
        if self._new_ones_pass:
            link.passes.set()
        self._links.add(link)
        self.first_messages.append(b"")
        await asyncio.gather(
            self._forward(link, client_reader, server, len(self.first_messages) - 1),
            self._forward(link, server_reader, client),
        )
        self._links.discard(link)

    async def _forward(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int | None = None
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if number is not None and not self.first_messages[number]:
                    self.first_messages[number] = data
                await link.passes.wait()
                writer.write(data)
                await writer.drain()
                if number is None and self.freezes_after is not None:
                    self.freezes_after -= 1
                    if not self.freezes_after:
                        self.freeze()
        if number is not None or not self.hides_ends:
            writer.close()
