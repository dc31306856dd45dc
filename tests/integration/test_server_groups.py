"""Several gRPC servers share one port that no other program can use."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from service_kit.hotpath.server_group import CHECK_SECONDS, COUNT, ServerGroup
from service_kit.lifecycle import in_background
from tests.support.raw_http2 import send_path

pytestmark = pytest.mark.slow


class Echo(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in its stubs only
    def service(self, details: grpc.HandlerCallDetails) -> Any:
        async def echo(message: bytes, context: Any) -> bytes:
            return message

        return grpc.unary_unary_rpc_method_handler(echo)


def acceptors() -> ServerGroup:
    made = ServerGroup([])
    made.add_generic_rpc_handlers(iter([Echo()]))
    return made


@pytest.fixture
async def running() -> ServerGroup:
    return acceptors()


@pytest.fixture
async def port(running: ServerGroup) -> AsyncIterator[int]:
    """The port of the group."""
    yield await running.start("127.0.0.1:0")
    await running.stop(0)


async def test_a_server_group_serves_every_connection(port: int):
    async with AsyncExitStack() as closing:
        own_connection = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=own_connection) for _ in range(16 * COUNT)]
        for channel in channels:
            await closing.enter_async_context(channel)
        calls = [channel.unary_unary("/a.B/Echo")(b"%d" % n, timeout=5) for n, channel in enumerate(channels)]

        assert await asyncio.gather(*calls) == [b"%d" % n for n in range(16 * COUNT)]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
async def test_a_port_is_not_shared_with_another_server_group(port: int, host: str):
    with pytest.raises(RuntimeError, match=f"cannot listen on {host}:{port}: it is taken"):
        await acceptors().start(f"{host}:{port}")


async def test_a_port_is_not_shared_with_other_programs():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(RuntimeError, match="it is taken by another program"):
            await acceptors().start(f"127.0.0.1:{port}")


async def test_an_address_of_another_machine_is_refused_by_name():
    with pytest.raises(RuntimeError, match=r"nowhere\.invalid:5000"):
        await acceptors().start("nowhere.invalid:5000")


async def test_a_server_group_listens_on_all_addresses():
    running = acceptors()
    port = await running.start("[::]:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert await channel.unary_unary("/a.B/Echo")(b"here", timeout=5) == b"here"
    await running.stop(0)


async def test_a_path_that_is_not_utf8_does_not_stop_a_server(port: int, running: ServerGroup):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, in_background(running.keep()):
        echo = channel.unary_unary("/a.B/Echo")
        assert await echo(b"before", timeout=5, wait_for_ready=True) == b"before"

        async with asyncio.TaskGroup() as sending:
            for _ in range(5 * COUNT):
                sending.create_task(send_path(port, b"/\xff/Echo"))
                await asyncio.sleep(2 * CHECK_SECONDS)
                assert await echo(b"after", timeout=5, wait_for_ready=True) == b"after"
