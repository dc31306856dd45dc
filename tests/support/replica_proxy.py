"""A TCP proxy before one replica. When it vanishes, it acknowledges what is sent and answers nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class ReplicaProxy:
    def __init__(self) -> None:
        self.port = 0
        self.behind = 0
        """The port of the replica itself."""
        self._passes = asyncio.Event()
        self._passes.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def vanish(self) -> None:
        """Keep existing and new connections open, but forward nothing."""
        self._passes.clear()

    def come_back(self) -> None:
        self._passes.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["ReplicaProxy"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()
            self._passes.set()
            await asyncio.gather(*self._tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        self._writers.add(writer)
        with suppress(OSError):
            await self._passes.wait()
            reader_behind, writer_behind = await asyncio.open_connection("127.0.0.1", self.behind)
            self._writers.add(writer_behind)
            await asyncio.gather(self._forward(reader, writer_behind), self._forward(reader_behind, writer))
            self._writers -= {writer, writer_behind}
        self._tasks.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._passes.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
