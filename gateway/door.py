"""Refuses requests while too many are under way, as cheaply as can be: from their bytes, before anything is parsed.

A request that is refused by the usual way costs a quarter of one that is answered, so that at four times what can be
done most of the work would be refusals. Here it costs a tenth.
"""

import asyncio
import re

import structlog

from gateway import errors, headers, metrics
from service_kit.admission import Admission
from service_kit.errors import TooManyRequests

USUAL = re.compile(rb"(GET|POST|PUT|DELETE) /v1/[!-~]* HTTP/1\.1\r\n")
UNUSUAL = (b"\r\ntransfer-encoding:", b"\r\nexpect:", b"\r\nconnection:", b"\r\nupgrade:")
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*(?:\r\n|\Z)")
REQUEST_ID = re.compile(rb"\r\nx-request-id:[ \t]*([!-~]{1,128})[ \t]*(?:\r\n|\Z)", re.IGNORECASE)
TELL_SECONDS = 1.0

log = structlog.get_logger()


class Door:
    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._answer = _answer()
        self._refused = 0
        self._let_in = 0
        """Since the event loop last ran handlers: these are not under way yet."""

    def refusal(self, data: bytes) -> bytes | None:
        """The answer to `data` when it is one whole request to refuse. None: to be read as usual.

        What is not plainly one request, to its last byte, is left to the parser: where it ends is not for us to guess.
        """
        if self._admission.has_room_for(self._let_in + 1):
            if not self._let_in:
                asyncio.get_running_loop().call_soon(self._forget_let_in)
            self._let_in += 1
            return None
        head, ended, body = data.partition(b"\r\n\r\n")
        usual = USUAL.match(head)
        lower = head.lower()
        if not ended or usual is None or any(name in lower for name in UNUSUAL):
            return None
        said = LENGTH.search(lower)
        if len(body) != (int(said[1]) if said else 0) or lower.count(b"\r\ncontent-length") > (said is not None):
            return None
        given = REQUEST_ID.search(head)
        metrics.count_request(usual[1].decode(), None, 429, 0.0)
        self._note()
        return self._answer.replace(b"{id}", given[1] if given else headers.new_request_id().encode())

    def _forget_let_in(self) -> None:
        self._let_in = 0

    def _note(self) -> None:
        """One line a second: a line for each would cost as much as the rest."""
        self._refused += 1
        if self._refused == 1:
            asyncio.get_running_loop().call_later(TELL_SECONDS, self._tell)

    def _tell(self) -> None:
        log.warning("requests_refused", requests=self._refused, seconds=TELL_SECONDS)
        self._refused = 0


def _answer() -> bytes:
    response = errors.of_service(TooManyRequests())
    fields = {**response.headers, "Cache-Control": "private, no-cache", "X-Request-Id": "{id}"}
    body = response.body
    if not isinstance(body, bytes):
        raise TypeError("an error's body is bytes")
    lines = [f"HTTP/1.1 {response.status} Too Many Requests", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body
