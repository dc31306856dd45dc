"""Listens for HTTP connections, with the limits of `connections` and the load shedding of `overload`."""

import asyncio
import ssl
from typing import cast

from aiohttp import web

from service_kit.http.connections import (
    ConnectionLimits,
    ConnectionTable,
    UnparsedConnection,
    max_open_connections,
)
from service_kit.http.handshakes import TlsHandshake
from service_kit.http.overload import LoadShedder

BACKLOG = 8192
"""Maximum connections that wait to be accepted. Beyond it (or the system's limit, net.core.somaxconn), the kernel drops
connections, and callers try again only after a second."""


async def listen(
    runner: web.AppRunner,
    address: str,
    shedder: LoadShedder,
    limits: ConnectionLimits,
    *,
    tls: ssl.SSLContext | None = None,
    share_port: bool = False,
) -> asyncio.Server:
    """Serve the runner's application on host:port, with HTTPS if `tls` is set. Raises OSError if the port is taken.

    With `share_port`, other processes may share the port. The kernel spreads connections over them.
    """
    host, _, port = address.rpartition(":")
    loop, server = asyncio.get_running_loop(), cast("web.Server", runner.server)
    table = ConnectionTable(max_open_connections(limits.max_connections))

    def connection() -> asyncio.Protocol:
        unparsed = UnparsedConnection(server, shedder, table, limits, loop)
        return unparsed if tls is None else TlsHandshake(tls, unparsed, table, limits)

    return await loop.create_server(
        connection,
        host.strip("[]"),
        int(port),
        backlog=BACKLOG,
        reuse_port=share_port or None,
    )


def port_of(listener: asyncio.Server) -> int:
    return int(listener.sockets[0].getsockname()[1])
