"""What the door refuses from its bytes alone, and what it leaves to the parser."""

import asyncio
import json

import pytest

from gateway.door import Door
from service_kit.admission import Admission

GET = b"GET /v1/workflows?project_id=1 HTTP/1.1\r\nHost: here\r\n\r\n"
POST = b"POST /v1/apps HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\nX-Request-Id: mine\r\n\r\n{}"


@pytest.fixture
def full_door(monkeypatch: pytest.MonkeyPatch) -> Door:
    monkeypatch.setattr(Door, "_note", lambda door: None)  # it wants a running loop
    admission = Admission(1)
    admission.enter()
    return Door(admission)


async def test_a_door_lets_in_as_many_as_there_is_room_for_and_no_more_at_one_moment():
    door = Door(Admission(2))

    at_once = [door.refusal(GET) for _ in range(3)]
    await asyncio.sleep(0)

    assert [refusal is None for refusal in at_once] == [True, True, False]
    assert door.refusal(GET) is None


@pytest.mark.parametrize("request_", [GET, POST], ids=["get", "post"])
def test_one_whole_request_is_refused_like_any_other(full_door: Door, request_: bytes):
    refusal = full_door.refusal(request_)

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
def test_what_is_not_plainly_one_request_is_left_to_the_parser(full_door: Door, data: bytes):
    assert full_door.refusal(data) is None
