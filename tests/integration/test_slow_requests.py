"""A stuck, slow or oversized request affects its own caller only."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.observed_services import INVALID, WORKFLOW, World, running_world
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

SAVE = f"/v1/workflows/{WORKFLOW}/save"
VERSION = f"/v1/workflows/{WORKFLOW}/versions/latest"
DOCUMENTS = b'{"flow": {}, "flow_ui": {}}'
VALID = "dyn_pat_valid"


class Connection:
    """A connection to the gateway to which a test writes bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def begin_save(self, *fields: str, token: str = VALID) -> None:
        head = [f"POST {SAVE} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", *fields]
        self.send("\r\n".join([*head, "", ""]).encode())

    async def status(self) -> int | None:
        """The status of the next answer; None when the gateway closes the connection without an answer."""
        line = await asyncio.wait_for(self._reader.readline(), 5)
        return int(line.split()[1]) if line else None

    async def ended(self) -> bool:
        return await asyncio.wait_for(self._reader.read(), 5) is not None

    async def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def connections(world: World, count: int) -> AsyncIterator[list[Connection]]:
    host, _, port = world.url.removeprefix("http://").partition(":")
    opened = [Connection(*await asyncio.open_connection(host, int(port))) for _ in range(count)]
    try:
        yield opened
    finally:
        for connection in opened:
            await connection.close()


async def save_status(world: World) -> int:
    return (await world.post(SAVE, DOCUMENTS)).status


@pytest.mark.parametrize("token", [VALID, INVALID])
async def test_a_content_length_over_the_limit_is_refused_before_the_body(token: str):
    async with running_world() as world, connections(world, 1) as [caller]:
        caller.begin_save("Content-Length: 99999999999", token=token)

        assert await caller.status() == 413
        assert await save_status(world) == 200


async def test_announced_bodies_that_never_arrive_do_not_use_up_limits():
    async with running_world(max_requests=4, max_bytes_under_way=1 << 20) as world, connections(world, 20) as callers:
        for caller in callers:
            caller.begin_save(f"Content-Length: {1 << 20}")
            caller.send(b"{")

        assert await save_status(world) == 200
        assert (await world.get(VERSION)).status == 200


async def test_the_body_of_a_request_without_a_valid_token_is_not_read():
    async with running_world() as world, connections(world, 20) as callers:
        for caller in callers:
            caller.begin_save(f"Content-Length: {1 << 20}", token=INVALID)

        assert [await caller.status() for caller in callers] == [401] * 20
        assert world.observed.requests == []
        assert await save_status(world) == 200


async def test_concurrent_requests_with_one_token_check_it_once():
    async with running_world() as world:
        statuses = await asyncio.gather(*(save_status(world) for _ in range(50)))

        assert set(statuses) == {200}
        assert len(world.observed.pings) == 1


async def test_a_body_that_stops_arriving_is_refused_and_its_connection_closed():
    async with running_world(body_seconds=0.3) as world, connections(world, 1) as [caller]:
        started = time.monotonic()
        caller.begin_save("Content-Length: 100")
        caller.send(b"{")

        assert await caller.status() == 408
        assert await caller.ended()
        assert time.monotonic() - started < 4


async def test_a_slow_body_above_the_minimum_rate_is_read():
    async with running_world(body_seconds=0.3, body_bytes_per_second=100) as world, connections(world, 1) as [caller]:
        body = DOCUMENTS + b" " * 100
        caller.begin_save(f"Content-Length: {len(body)}")
        for start in range(0, len(body), 13):
            caller.send(body[start : start + 13])
            await asyncio.sleep(0.08)

        assert await caller.status() == 200


async def test_the_limit_of_bytes_counts_arrived_and_decompressed_bytes():
    async with running_world(max_bytes_under_way=1 << 20) as world, connections(world, 2) as [first, second]:
        first.begin_save("Transfer-Encoding: chunked")
        first.send(b"10\r\n" + b" " * 16 + b"\r\n")
        await eventually_pinged(world)
        packed = gzip.compress(b" " * (2 << 20))
        second.begin_save("Content-Encoding: gzip", f"Content-Length: {len(packed)}")
        second.send(packed)

        assert await second.status() == 429


async def test_a_compressed_body_over_the_limit_is_refused():
    async with running_world(max_body_bytes=1 << 20) as world:
        packed = gzip.compress(b" " * (8 << 20))

        assert (await world.post(SAVE, packed, content_encoding="gzip")).status == 413


@pytest.mark.parametrize("encoding", ["br", "zstd2"])
async def test_an_unsupported_content_encoding_is_refused(encoding: str):
    async with running_world() as world:
        answer = await world.post(SAVE, DOCUMENTS, content_encoding=encoding)

        assert (answer.status, answer.error["code"]) == (415, "unsupported_media_type")
        assert "gzip" in answer.error["message"]


@pytest.mark.parametrize("sent", [b"", b"GET /v1/apps HTTP/1.1\r\nHost: x\r\n"], ids=["nothing", "half_a_head"])
async def test_a_connection_whose_head_does_not_arrive_is_closed(sent: bytes):
    async with running_world(head_seconds=0.3) as world, connections(world, 1) as [caller]:
        caller.send(sent)

        assert await caller.status() is None


async def test_a_connection_whose_second_head_does_not_arrive_is_closed():
    async with running_world(head_seconds=0.3) as world, connections(world, 1) as [caller]:
        caller.send(f"GET {VERSION} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {VALID}\r\n\r\n".encode())
        assert await caller.status() == 200
        caller.send(b"GET /v1/apps HTTP/1.1\r\nHost: x\r\n")

        assert await caller.ended()


async def test_an_idle_connection_is_closed():
    async with running_world(idle_seconds=0.3) as world, connections(world, 1) as [caller]:
        caller.send(f"GET {VERSION} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {VALID}\r\n\r\n".encode())
        assert await caller.status() == 200

        assert await caller.ended()


async def test_the_first_request_of_a_connection_counts_once_towards_the_limit():
    async with running_world(max_requests=8) as world, connections(world, 8) as callers:
        world.observed.hangs = True
        for caller in callers:
            caller.send(f"GET {VERSION} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {VALID}\r\n\r\n".encode())
        await eventually(lambda: all_arrived(world, 8), seconds=5)
        world.observed.go_on.set()

        assert [await caller.status() for caller in callers] == [200] * 8


async def test_a_refusal_before_the_body_is_in_the_error_envelope():
    async with running_world(max_body_bytes=1 << 20) as world:
        answer = await world.post(SAVE, b" " * (2 << 20))

        assert answer.status == 413
        assert json.loads(answer.body)["error"]["code"] == "payload_too_large"
        assert answer.headers["Connection"] == "close"


async def test_idle_connections_are_closed_for_new_ones():
    async with running_world(max_connections=4) as world, connections(world, 10) as callers:
        assert await save_status(world) == 200
        callers[9].send(f"GET {VERSION} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {VALID}\r\n\r\n".encode())
        assert await callers[9].status() == 200
        assert await callers[0].ended()


async def test_a_connection_with_a_request_in_progress_is_not_closed_for_a_new_one():
    async with running_world(max_connections=2) as world, connections(world, 2) as working:
        world.observed.hangs = True
        for caller in working:
            caller.send(f"GET {VERSION} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {VALID}\r\n\r\n".encode())
        await eventually(lambda: all_arrived(world, 2), seconds=5)
        async with connections(world, 1) as [late]:
            assert await late.ended()
        world.observed.go_on.set()

        assert [await caller.status() for caller in working] == [200, 200]


async def test_a_head_over_the_limit_is_refused_in_the_error_envelope():
    async with running_world() as world, connections(world, 1) as [caller]:
        caller.send(b"GET /v1/apps HTTP/1.1\r\nHost: x\r\n")
        for number in range(20):
            caller.send(f"X-Filler-{number}: {'a' * 4000}\r\n".encode())

        assert await caller.status() == 431


async def test_the_connection_of_a_caller_that_reads_nothing_is_closed():
    async with running_world(write_seconds=1, max_bytes_under_way=64 << 20) as world:
        world.observed.version = 24 << 20
        host, _, port = world.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        request = f"GET {VERSION} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {VALID}\r\n\r\n"
        writer.transport.pause_reading()
        writer.write(request.encode())
        await asyncio.sleep(5)
        writer.transport.resume_reading()

        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(24 << 20), 5)
        writer.close()


async def test_an_unknown_expect_header_is_refused_in_the_error_envelope():
    async with running_world() as world:
        answer = await world.post(SAVE, DOCUMENTS, expect="200-ok")

        assert (answer.status, answer.error["code"]) == (417, "bad_request")
        assert answer.headers["X-Request-Id"]


async def test_another_caller_is_served_while_one_caller_uses_the_whole_limit():
    async with running_world(max_requests=8) as world:
        world.observed.hangs = True
        many = [asyncio.create_task(world.get(VERSION)) for _ in range(8)]
        await eventually(lambda: all_arrived(world, 8), seconds=5)
        refused = await world.get(VERSION)
        other = asyncio.create_task(world.get(VERSION, authorization="Bearer dyn_pat_other"))
        await eventually(lambda: all_arrived(world, 9), seconds=5)
        world.observed.go_on.set()

        assert refused.status == 429
        assert (await other).status == 200
        assert {(await answer).status for answer in many} == {200}


async def test_answers_have_headers_of_the_rate_limit():
    async with running_world(rate_limit="2/minute") as world:
        answers = [await world.get(VERSION) for _ in range(3)]
        other = await world.get(VERSION, authorization="Bearer dyn_pat_other")

        assert [answer.status for answer in answers] == [200, 200, 429]
        assert answers[0].headers["RateLimit-Policy"] == '"principal";q=2;w=60'
        assert answers[0].headers["RateLimit"].startswith('"principal";r=1;t=')
        assert answers[2].details["reason"] == "RATE_LIMITED"
        assert int(answers[2].headers["Retry-After"]) >= 1
        assert other.status == 200


async def all_arrived(world: World, count: int) -> bool:
    return len(world.observed.requests) == count


async def eventually_pinged(world: World) -> None:
    async def pinged() -> bool:
        return bool(world.observed.pings)

    await eventually(pinged, seconds=5)
    await asyncio.sleep(0.05)  # the loop counts the first chunk when it answers the check of the token
