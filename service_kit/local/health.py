"""Whether a started process is ready to be called."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from service_kit.local.data_folder import LOOPBACK

POLL_SECONDS = 0.03


async def until(is_ready: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """Ask until it is ready; False when it was not within the time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not await is_ready():  # noqa: ASYNC110 - another process' state, there is no event
                await asyncio.sleep(POLL_SECONDS)
            return True
    return False


async def gateway_is_ready(port: int) -> bool:
    """Ask `GET /health/ready`; plain sockets, because an HTTP library takes longer to import than this to run."""
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    try:
        writer.write(f"GET /health/ready HTTP/1.1\r\nHost: {LOOPBACK}\r\nConnection: close\r\n\r\n".encode())
        return b" 200 " in await reader.readline()
    except OSError:
        return False
    finally:
        writer.close()


async def service_is_ready(port: int) -> bool:
    """Ask `grpc.health.v1.Health/Check` for the service as a whole."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False  # asked before gRPC, which waits a second before it tries to connect again
    writer.close()
    async with grpc.aio.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2.0)
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
