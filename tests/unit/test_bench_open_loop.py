"""The bench's open loop measures each call from its due time, and keeps failed calls."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, pairwise
from typing import ClassVar

import pytest

from tests.load.bench import open_loop
from tests.load.bench.open_loop import Event, arrivals
from tests.load.bench.percentile import percentiles
from tests.load.bench.request import Request, post
from tests.support.ports import free_port

STALL_SECONDS, STALLS = 0.5, 20
"""How long the twentieth request is not answered."""
GET = Request("/ok")


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    numbers: ClassVar[Iterator[int]]
    received: ClassVar[list[tuple[str, bytes]]]

    def do_GET(self) -> None:
        if next(self.numbers) == STALLS and self.path == "/stalls-once":
            time.sleep(STALL_SECONDS)
        if self.path == "/breaks":
            self.close_connection = True
            return
        self.close_connection = self.path == "/closes"
        self.send_response(503 if self.path == "/refused" else 200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def do_POST(self) -> None:
        self.received.append((self.headers["authorization"], self.rfile.read(int(self.headers["content-length"]))))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[str]:
    Answers.numbers, Answers.received = count(1), []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_calls_of_the_open_loop_are_due_at_random_moments_fixed_in_advance():
    moments = arrivals(1000, 10)

    assert moments == arrivals(1000, 10)
    assert 9_500 < len(moments) < 10_500
    assert moments[0] > 0
    assert moments[-1] < 10
    gaps = [after - before for before, after in pairwise(moments)]
    assert percentiles(gaps, 50)[0] == pytest.approx(0.000693, rel=0.1)  # ln 2 / rate, as of an exponential


def test_calls_that_wait_for_a_stalled_one_are_measured_from_their_due_time():
    with serving() as url:
        calls = open_loop.drive(url, [Request("/stalls-once")], {}, 200, 1, connections=1)

    assert [call.due_s for call in calls] == arrivals(200, 1)
    assert all(call.is_success for call in calls)
    slow = [call for call in calls if call.took_ms > 1000 * STALL_SECONDS / 2]
    assert len(slow) > 200 * STALL_SECONDS / 4  # and not only the one that stalled
    assert percentiles((call.late_ms for call in calls), 99)[0] > 1000 * STALL_SECONDS / 2


def test_refused_and_broken_calls_are_recorded_and_the_next_call_is_made():
    with serving() as url:
        calls = open_loop.drive(url, [GET, Request("/refused"), Request("/breaks")], {}, 300, 0.5, connections=1)

    assert len(calls) > 60
    assert [call.status for call in calls] == [(200, 503, 0)[place % 3] for place in range(len(calls))]


def test_a_connection_that_the_server_has_closed_is_opened_again():
    with serving() as url:
        calls = open_loop.drive(url, [Request("/closes")], {}, 100, 0.5, connections=1)

    # Calls at the same moment as the close may fail.
    assert sum(call.is_success for call in calls) > 0.8 * len(calls)


def test_a_call_to_a_closed_port_has_status_0():
    calls = open_loop.drive(f"http://127.0.0.1:{free_port()}", [GET], {}, 100, 0.2)

    assert {call.status for call in calls} == {0}


def test_a_call_without_an_answer_times_out_with_status_0(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(open_loop, "ANSWER_SECONDS", 0.1)
    with serving() as url:
        calls = open_loop.drive(url, [Request("/stalls-once")], {}, 100, 0.3, connections=1)

    assert [call.status for call in calls] == [200] * (STALLS - 1) + [0] * (len(calls) - STALLS + 1)
    assert all(call.took_ms < 1000 for call in calls)


def test_the_open_loop_sends_bodies_and_headers():
    with serving() as url:
        open_loop.drive(url, [post("/ok", b'{"a": 1}')], {"authorization": "Bearer t"}, 100, 0.1)

    assert set(Answers.received) == {("Bearer t", b'{"a": 1}')}


def test_the_event_of_an_open_loop_happens_once_and_its_error_is_raised():
    happened: list[float] = []
    began = time.monotonic()
    with serving() as url:
        open_loop.drive(url, [GET], {}, 50, 0.4, Event(0.2, lambda: happened.append(time.monotonic() - began)))
        with pytest.raises(ValueError, match="not in list"):
            open_loop.drive(url, [GET], {}, 50, 0.2, Event(0.1, lambda: happened.remove(0)))

    assert len(happened) == 1
    assert happened[0] >= 0.2
