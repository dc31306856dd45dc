"""Checks whether a started process is ready for calls."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress

from flowpin_cli.machine.data_folder import LOOPBACK

POLL_SECONDS = 0.03


async def until(is_ready: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """Repeat the check until it succeeds. False if it did not succeed in time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not await is_ready():  # noqa: ASYNC110 - another process' state, there is no event
                await asyncio.sleep(POLL_SECONDS)
            return True
    return False


async def accepts(port: int, host: str = LOOPBACK) -> bool:
    """Whether a process listens on this port."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


async def speaks_tls(port: int, host: str, ca: str) -> bool:
    """Whether a listener has a certificate of the authority for this host."""
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context(cafile=ca))
    except OSError:
        return False
    writer.close()
    return True


async def unready(port: int, host: str = LOOPBACK, ca: str = "") -> list[str]:
    """The services that are not ready according to `GET /health/ready`. `gateway` if it does not answer.

    It uses plain sockets, because importing an HTTP library takes longer than the request. With gRPC in this process,
    children could not be forked safely. With `ca`, the file of an authority, it uses TLS.
    """
    try:
        tls = ssl.create_default_context(cafile=ca) if ca else None
        reader, writer = await asyncio.open_connection(host, port, ssl=tls)
        try:
            writer.write(f"GET /health/ready HTTP/1.1\r\nHost: {LOOPBACK}\r\nConnection: close\r\n\r\n".encode())
            _, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        states = json.loads(body)["services"]
    except (OSError, ValueError, KeyError):
        return ["gateway"]
    return [name for name, state in states.items() if state != "serving"]
