"""Which requests the load shedder refuses before parsing, and which it leaves to the parser."""

import asyncio
import json
import re
from typing import Any

import pytest
from aiohttp import web

from service_kit.fair_queue import FairQueue
from service_kit.http import connections
from service_kit.http.connections import Connection, ConnectionLimits
from service_kit.http.listener import listen, port_of
from service_kit.http.overload import LoadShedder
from service_kit.http.token_checks import digest_of

GET = b"GET /v1/workflows?project_id=1 HTTP/1.1\r\nHost: here\r\n\r\n"
POST = b"POST /v1/apps HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\nX-Request-Id: mine\r\n\r\n{}"


@pytest.fixture
async def full_shedder(monkeypatch: pytest.MonkeyPatch) -> LoadShedder:
    monkeypatch.setattr(LoadShedder, "_count_refusal", lambda shedder: None)  # needs a running loop
    queue = FairQueue(1)
    await queue.enter(digest_of("Bearer a"))
    return LoadShedder(queue)


async def test_the_load_shedder_admits_as_many_requests_per_turn_as_there_are_free_places():
    shedder = LoadShedder(FairQueue(2))

    at_once = [shedder.refusal(GET) for _ in range(3)]
    await asyncio.sleep(0)

    assert [refusal is None for refusal in at_once] == [True, True, False]
    assert shedder.refusal(GET) is None


async def test_the_load_shedder_admits_a_principal_up_to_its_guaranteed_places():
    queue = FairQueue(16)
    for _ in range(16):
        await queue.enter("another")
    shedder = LoadShedder(queue)
    mine = GET.replace(b"Host: here", b"Host: here\r\nAuthorization: Bearer mine")

    at_once = [shedder.refusal(mine) for _ in range(4)]

    assert [refusal is None for refusal in at_once] == [True, True, False, False]


async def test_a_shed_request_gets_the_headers_of_every_answer():
    shedder = LoadShedder(FairQueue(2), {"Flowpin-Version": "1.2.3"})

    refusals = [shedder.refusal(GET) for _ in range(3)]

    assert b"\r\nFlowpin-Version: 1.2.3\r\n" in refusals[-1]


async def test_the_load_shedder_admits_one_request_for_the_last_free_place():
    queue = FairQueue(9)
    for _ in range(8):
        await queue.enter(digest_of("Bearer mine"))
    shedder = LoadShedder(queue)
    mine = GET.replace(b"Host: here", b"Host: here\r\nAuthorization: Bearer mine")

    at_once = [shedder.refusal(mine) for _ in range(3)]

    assert [refusal is None for refusal in at_once] == [True, False, False]


@pytest.mark.parametrize("request_", [GET, POST], ids=["get", "post"])
def test_a_complete_request_is_shed_with_the_usual_error(full_shedder: LoadShedder, request_: bytes):
    refusal = full_shedder.refusal(request_)

    assert refusal is not None
    head, _, body = refusal.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines)
    assert status.startswith("HTTP/1.1 429 ")
    assert fields["Retry-After"] == "1"
    assert int(fields["Content-Length"]) == len(body)
    assert fields["X-Request-Id"] == "mine" if request_ is POST else len(fields["X-Request-Id"]) == 32
    assert json.loads(body)["error"]["code"] == "too_many_requests"


@pytest.mark.parametrize(
    "data",
    [
        GET[:-1],
        GET + b"G",
        GET + GET,
        POST[:-1],
        POST + b"x",
        POST.replace(b"Content-Length: 2", b"Content-Length: 2\r\nContent-Length: 2"),
        POST.replace(b"Content-Length: 2", b"Content-Length : 2"),
        POST.replace(b"Content-Length: 2", b"Content-Length: +2"),
        POST.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked"),
        POST.replace(b"Host: here", b"Expect: 100-continue"),
        POST.replace(b"Host: here", b"Connection: close"),
        GET.replace(b"GET", b"HEAD"),
        GET.replace(b"1.1", b"1.0"),
        GET.replace(b"/v1/workflows", b"/health/live"),
        b"",
        b"\r\n\r\n",
    ],
)
def test_incomplete_or_unusual_requests_are_left_to_the_parser(full_shedder: LoadShedder, data: bytes):
    assert full_shedder.refusal(data) is None


class HastyCaller(Connection):
    """Its next request arrives before aiohttp checks for one, as from a caller on another core."""

    async def finish_response(self, *args: Any) -> Any:
        finished = await super().finish_response(*args)
        if self._request_count == 1:
            self.data_received(GET)
        return finished


async def test_a_request_right_after_an_answer_is_shed_too(monkeypatch: pytest.MonkeyPatch):
    queue, seen = FairQueue(1), []

    async def answer(request: web.BaseRequest) -> web.Response:
        seen.append(request.path)
        await queue.enter("another")
        return web.Response()

    monkeypatch.setattr(connections, "Connection", HastyCaller)
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    listener = await listen(runner, "127.0.0.1:0", LoadShedder(queue), ConnectionLimits(5, 5, 5, 10))
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(listener))
        writer.write(GET)
        statuses = []
        async with asyncio.timeout(5):
            for _ in range(2):
                head = await reader.readuntil(b"\r\n\r\n")
                statuses.append(int(head.split()[1]))
                length = re.search(rb"(?i)content-length: (\d+)", head)
                await reader.readexactly(int(length[1]) if length else 0)
        writer.close()
    finally:
        listener.close()
        await runner.cleanup()

    assert statuses == [200, 429]
    assert len(seen) == 1
