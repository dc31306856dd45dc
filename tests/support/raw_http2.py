"""HTTP/2 byte by byte, for requests that no gRPC client would send."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING = 0, 1, 4, 6
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(value: bytes) -> bytes:
    return bytes([len(value)]) + value


def request_block(path: bytes, *fields: tuple[bytes, bytes]) -> bytes:
    """The header block of a gRPC call. `fields` are further headers."""
    method_and_scheme = b"\x83\x86"  # POST and http are in HPACK's static table, as are the names below
    content_type = b"\x0f\x10" + literal(b"application/grpc")
    te = b"\x00" + literal(b"te") + literal(b"trailers")
    more = b"".join(b"\x00" + literal(name) + literal(value) for name, value in fields)
    return method_and_scheme + b"\x04" + literal(path) + b"\x01" + literal(b"x") + content_type + te + more


async def send_path(port: int, path: bytes) -> None:
    """Start a gRPC call of this path without a token, and wait until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(PREFACE + frame(SETTINGS, 0, 0))
    writer.write(frame(HEADERS, END_STREAM | END_HEADERS, 1, request_block(path)))
    async with asyncio.timeout(10):
        await reader.read()
    writer.close()


@asynccontextmanager
async def call_without_reading(port: int, path: bytes, token: str, request: bytes) -> AsyncIterator[None]:
    """A gRPC call that accepts no answers: the caller's windows stay empty. It answers pings."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    no_window = struct.pack(">HI", INITIAL_WINDOW_SIZE, 0)
    block = request_block(path, (b"authorization", f"Bearer {token}".encode()))
    writer.write(PREFACE + frame(SETTINGS, 0, 0, no_window))
    writer.write(frame(HEADERS, END_HEADERS, 1, block))
    writer.write(frame(DATA, END_STREAM, 1, b"\x00" + struct.pack(">I", len(request)) + request))
    answering = asyncio.ensure_future(_answer_pings(reader, writer))
    try:
        yield
    finally:
        answering.cancel()
        await asyncio.wait([answering])
        writer.close()


async def _answer_pings(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        head = await reader.readexactly(9)
        payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
        if head[3] in (SETTINGS, PING) and not head[4] & ACK:
            writer.write(frame(head[3], ACK, 0, payload if head[3] == PING else b""))
