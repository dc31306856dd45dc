"""HTTP/2 byte by byte: for what no gRPC client would send."""

import asyncio
import struct

HEADERS, SETTINGS = 1, 4
END_STREAM, END_HEADERS = 1, 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(value: bytes) -> bytes:
    return bytes([len(value)]) + value


async def send_path(port: int, path: bytes) -> None:
    """Begin a gRPC call of this path, without a token, and wait until the server ends the connection."""
    method_and_scheme = b"\x83\x86"  # POST, http: both are in HPACK's static table, and so are the names below
    content_type = b"\x0f\x10" + literal(b"application/grpc")
    te = b"\x00" + literal(b"te") + literal(b"trailers")
    block = method_and_scheme + b"\x04" + literal(path) + b"\x01" + literal(b"x") + content_type + te
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
    writer.write(frame(HEADERS, END_STREAM | END_HEADERS, 1, block))
    async with asyncio.timeout(10):
        await reader.read()
    writer.close()
