"""Waits on a loopback port for the redirect that ends a sign-in in the browser (RFC 8252, section 7.3)."""

from http.server import BaseHTTPRequestHandler
from queue import Empty, SimpleQueue
from socketserver import ThreadingTCPServer
from threading import Thread
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from flowpin_cli.errors import CannotRun

PATH = "/callback"
REQUEST_SECONDS = 10.0
"""How long a connection may be silent."""
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Flowpin</title>
<body style="font-family: sans-serif; margin: 4rem"><h1>{}</h1><p>Close this page and go on in the terminal.</p></body>
</html>
"""


class Loopback:
    """Listens on a free port of 127.0.0.1 until the block ends.

    Each connection has a thread, because browsers open some that they do not use.
    """

    def __enter__(self) -> "Loopback":
        self._answers: SimpleQueue[dict[str, str]] = SimpleQueue()
        self._server = _Server(self._answers)
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def redirect_uri(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{PATH}"

    def answer(self, seconds: float) -> dict[str, str]:
        """The parameters of the redirect. Raises CannotRun if it does not come in time."""
        try:
            return self._answers.get(timeout=seconds)
        except Empty:
            raise CannotRun(f"nobody signed in within {seconds:g} seconds; run `flowpin login` again") from None


class _Server(ThreadingTCPServer):  # http.server's own asks DNS for the machine's name
    daemon_threads = True

    def __init__(self, answers: "SimpleQueue[dict[str, str]]") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers
        self.is_answered = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore browsers that disconnect."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_SECONDS

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path != PATH or self.server.is_answered:
            self.send_error(404)
            return
        self.server.is_answered = True
        answer = dict(parse_qsl(parts.query))
        try:
            self._send_page("The sign-in has failed" if "error" in answer else "Thank you")
        finally:
            self.server.answers.put(answer)

    def _send_page(self, title: str) -> None:
        page = PAGE.format(title).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *words: object) -> None:
        """Log nothing, because the URL contains the code."""
