"""Several grpc.aio servers as one, on one port.

A grpc.aio server (1.85) waits for one call, and some turns of the event loop go by until it waits for the next. So few
are under way, and threads wake each other for each of them, however many wait. As four, reads are a third faster.
"""

import asyncio
import errno
from collections.abc import Iterable, Sequence
from typing import Any

import grpc

from service_kit.ports import check_free

COUNT = 4
"""Calls that are waited for at a time. Many more would be uneven: a connection stays with one acceptor."""


class Acceptors:
    """What servicers are added to, and what is started and stopped, in place of a grpc.aio.Server."""

    def __init__(self, options: Sequence[tuple[str, int]], count: int = COUNT) -> None:
        """`options` are each server's."""
        shared = [*options, ("grpc.so_reuseport", 1)]  # the kernel spreads connections over those that listen
        self._servers = [grpc.aio.server(options=shared) for _ in range(count)]

    def add_generic_rpc_handlers(self, handlers: Iterable[Any], /) -> None:
        added = tuple(handlers)
        for server in self._servers:
            server.add_generic_rpc_handlers(added)

    async def start(self, listen: str) -> int:
        """Serve on host:port; returns the port. Raises RuntimeError when it is taken."""
        host, _, port = listen.rpartition(":")
        _refuse_taken(host, int(port))
        for server in self._servers:
            port = str(server.add_insecure_port(f"{host}:{port}"))
        for server in self._servers:
            await server.start()
        return int(port)

    async def stop(self, grace: float) -> None:
        """Take on nothing more. What is under way may take `grace` seconds; then it is canceled."""
        await asyncio.gather(*(server.stop(grace) for server in self._servers))


def _refuse_taken(host: str, port: int) -> None:
    """Sockets that share a port share it with another process's, too; one that does not can tell."""
    try:
        check_free(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise RuntimeError(f"cannot listen on {host}:{port}: it is taken by another program") from None
        # What else is wrong gRPC says, unless it can do without: a name can stand for addresses that are not there.
