"""TLS handshakes of the HTTP listeners work also when the caller's first message arrives early."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from flowpin_cli.machine.local_authority import LocalAuthority
from service_kit.http.connections import ConnectionLimits, ConnectionTable
from service_kit.http.handshakes import TlsHandshake
from service_kit.tls import TlsFiles

CALLERS = 20


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_handshake_whose_first_message_arrives_before_the_loop_reads_it_succeeds(run: Callable[..., Any], tmp_path):
    authority = LocalAuthority(tmp_path / "tls")
    authority.prepare()
    context = TlsFiles(authority.cert, authority.key).context()
    trusting = ssl.create_default_context(cafile=authority.ca)

    def call(port: int) -> bytes:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            trusting.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted,
        ):
            encrypted.sendall(b"hello")
            return encrypted.recv(100)

    async def calls() -> list[bytes]:
        table, limits = ConnectionTable(CALLERS), ConnectionLimits(10, 10, 10, CALLERS)
        server = await asyncio.get_running_loop().create_server(
            lambda: TlsHandshake(context, Echo(), table, limits), "127.0.0.1", 0
        )
        port = server.sockets[0].getsockname()[1]
        answers = [asyncio.create_task(asyncio.to_thread(call, port)) for _ in range(CALLERS)]
        while not all(answer.done() for answer in answers):
            time.sleep(0.003)  # noqa: ASYNC251 - a busy loop: the first message has arrived when the connection is accepted
            await asyncio.sleep(0)
        server.close()
        return [answer.result() for answer in answers]

    assert run(calls()) == [b"hello"] * CALLERS
