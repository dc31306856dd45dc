"""Calls of the command line: calls without an answer are sent again with their key, a limited number of times."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import ClassVar

import pytest

from flowpin_cli.errors import CannotRun, Conflict, NotFound, NotPermitted
from flowpin_cli.rest import calls as rest
from flowpin_cli.rest.calls import Calls
from flowpin_cli.rest.installation import Installation

HANG_UP = 0


class Server(BaseHTTPRequestHandler):
    """Answers as `plan` says, repeating the last entry, and records the requests."""

    plan: ClassVar[list[tuple[int, dict[str, str]]]] = []
    seen: ClassVar[list[tuple[str, str | None, bytes]]] = []
    tokens: ClassVar[list[str]] = []
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append((self.command, self.headers.get("Idempotency-Key"), body))
        self.tokens.append(self.headers["Authorization"].removeprefix("Bearer "))
        status, headers = self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]
        if status == HANG_UP:
            self.connection.close()
            self.close_connection = True
            return
        error = {"error": {"code": "x", "message": "It is so.", "details": {"reason": "SO"}}}
        content = json.dumps({"data": {"id": "1"}} if status == 200 else error).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - named by http.server

    def log_message(self, *words: object) -> None:
        """Do not log."""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    monkeypatch.setattr(rest, "FIRST_PAUSE_SECONDS", 0.001)
    Server.seen.clear()
    Server.tokens.clear()
    server = ThreadingTCPServer(("127.0.0.1", 0), Server)  # http.server's own asks DNS for the server's name
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    client = Calls(Installation(f"http://127.0.0.1:{server.server_address[1]}", "t", None))
    yield client
    client.close()
    server.shutdown()
    server.server_close()


def test_a_write_is_sent_again_with_the_same_key_and_body(calls):
    Server.plan[:] = [(HANG_UP, {}), (503, {}), (504, {}), (409, {"Retry-After": "0"}), (200, {})]

    assert calls.post("/v1/x", {"a": 1}) == {"id": "1"}

    assert len(Server.seen) == 5
    assert len(set(Server.seen)) == 1
    assert len(Server.seen[0][1]) == 32


def test_each_write_has_its_own_idempotency_key(calls):
    Server.plan[:] = [(200, {})]

    calls.post("/v1/x")
    calls.put("/v1/x", {})
    calls.delete("/v1/x")

    assert len({key for _, key, _ in Server.seen}) == 3


@pytest.mark.parametrize("status", [HANG_UP, 503])
def test_a_failing_write_is_sent_a_limited_number_of_times(calls, status):
    Server.plan[:] = [(status, {})]

    with pytest.raises(CannotRun):
        calls.post("/v1/x")

    assert len(Server.seen) == rest.TRIES


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, CannotRun), (401, NotPermitted), (403, NotPermitted), (404, NotFound), (409, Conflict), (500, CannotRun)],
)
def test_a_refusal_is_not_retried_and_raises_its_error_class(calls, status, error):
    Server.plan[:] = [(status, {})]

    with pytest.raises(CannotRun, match=r"It is so \(SO\)") as refused:
        calls.post("/v1/x")

    assert type(refused.value) is error
    assert len(Server.seen) == 1


def renewing(calls: Calls) -> Calls:
    """The same calls with a token of `flowpin login`."""
    url = calls.url
    return Calls(Installation(url, "old", None, renew=lambda refused: f"new after {refused}"))


def test_a_refused_token_of_a_login_is_refreshed_and_used_from_then_on(calls):
    calls = renewing(calls)
    Server.plan[:] = [(401, {}), (200, {})]

    assert calls.post("/v1/x") == calls.post("/v1/y") == {"id": "1"}

    calls.close()
    assert Server.tokens == ["old", "new after old", "new after old"]
    assert Server.seen[0] == Server.seen[1]  # one write, with one key


def test_a_token_that_is_still_refused_after_a_refresh_names_the_command(calls):
    calls = renewing(calls)
    Server.plan[:] = [(401, {})]

    with pytest.raises(NotPermitted, match="sign in again, or end it with `flowpin logout`"):
        calls.get("/v1/x")

    calls.close()
    assert len(Server.seen) == 2


def test_a_long_retry_after_is_shortened(calls, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(rest.time, "sleep", waits.append)
    Server.plan[:] = [(503, {"Retry-After": "3600"}), (200, {})]

    calls.get("/v1/x")

    assert waits == [rest.MAX_PAUSE_SECONDS]


@pytest.mark.parametrize("url", ["ftp://h", "h:80", "http://", "file:///etc/passwd"])
def test_a_malformed_installation_url_is_refused(url):
    with pytest.raises(CannotRun, match="FLOWPIN_URL must begin with"):
        Calls(Installation(url, "t", None))
