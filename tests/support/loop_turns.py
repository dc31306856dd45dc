"""Prints how many turns a busy event loop needs until it has started all calls.

`python -m tests.support.loop_turns MODULE CLASS` names the loop's class.
"""

import asyncio
import importlib
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc

SERVERS, CALLS = 20, 800
BUSY_SECONDS = 0.001
"""Seconds that each turn takes."""


class Answering(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in its stubs only
    begun = 0

    def service(self, _details: grpc.HandlerCallDetails) -> Any:
        return grpc.stream_unary_rpc_method_handler(self._answer)

    async def _answer(self, _messages: AsyncIterator[bytes], _context: object) -> bytes:
        self.begun += 1
        return b""


async def main() -> None:
    handler = Answering()
    servers = [grpc.aio.server() for _ in range(SERVERS)]
    ports = []
    for server in servers:
        server.add_generic_rpc_handlers((handler,))
        ports.append(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}") for port in ports]
    await asyncio.gather(*(channel.channel_ready() for channel in channels))
    sent = [channels[number % SERVERS].unary_unary("/any/Thing")(b"") for number in range(CALLS)]
    turns = 0
    while handler.begun < CALLS:
        await asyncio.sleep(0)
        time.sleep(BUSY_SECONDS)  # noqa: ASYNC251 - keeps the loop busy
        turns += 1
    print(turns, flush=True)  # noqa: T201 - the result
    await asyncio.gather(*sent)
    await asyncio.gather(*(channel.close() for channel in channels))
    await asyncio.gather(*(server.stop(0) for server in servers))


if __name__ == "__main__":
    module, name = sys.argv[1:]
    with asyncio.Runner(loop_factory=getattr(importlib.import_module(module), name)) as runner:
        runner.run(main())
