"""Receives a request's body within a deadline, and counts its bytes (after inflation) as they arrive."""

import asyncio
from dataclasses import dataclass

from aiohttp import web

from service_kit.byte_budget import Reservation

ENCODINGS = ("", "identity", "gzip", "deflate")


class UnsupportedEncoding(web.HTTPUnsupportedMediaType):
    """The body has a content encoding that the gateway does not support."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    max_bytes: int
    """The largest body, before and after inflation."""
    seconds: float
    """How long a body may take, in addition to its size divided by `bytes_per_second`."""
    bytes_per_second: int


def check_head(request: web.Request, limits: BodyLimits) -> None:
    """Raises HTTPRequestEntityTooLarge or UnsupportedEncoding if the head alone shows it."""
    announced = request.content_length or 0
    if announced > limits.max_bytes:
        raise web.HTTPRequestEntityTooLarge(limits.max_bytes, announced)
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ENCODINGS:
        raise UnsupportedEncoding


async def receive(request: web.Request, reservation: Reservation, limits: BodyLimits) -> bytes:
    """The body, inflated. Raises HTTPRequestEntityTooLarge, HTTPRequestTimeout, TooManyRequests, RequestPayloadError.

    Unlike `request.read()`, it copies the body only once and does not keep it in the request.
    """
    if request.content.is_eof():  # the whole body arrived with the head
        return _counted(request.content.read_nowait(), reservation, limits)
    chunks: list[bytes] = []
    size = 0
    loop = asyncio.get_running_loop()
    must_end_by = loop.time() + limits.seconds
    try:
        async with asyncio.timeout_at(must_end_by) as deadline:
            async for chunk in request.content.iter_any():
                size += len(chunk)
                if size > limits.max_bytes:
                    raise web.HTTPRequestEntityTooLarge(limits.max_bytes, size)
                reservation.add(len(chunk))
                chunks.append(chunk)
                # Bytes that have arrived extend the deadline, not the length in the head.
                deadline.reschedule(must_end_by + size / limits.bytes_per_second)
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    return b"".join(chunks)


def _counted(body: bytes, reservation: Reservation, limits: BodyLimits) -> bytes:
    if len(body) > limits.max_bytes:
        raise web.HTTPRequestEntityTooLarge(limits.max_bytes, len(body))
    reservation.add(len(body))
    return body
