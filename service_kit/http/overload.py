"""Load shedding: requests beyond the limits are refused before they are parsed.

A usual refusal costs a quarter of an answered request, so at four times the capacity most of the work would be
refusals. Here it costs a tenth (aiohttp 3.14, Python 3.11). To remove it, let `UnparsedConnection` create a
`Connection` immediately.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

import structlog

from service_kit import ids
from service_kit.errors import TooManyRequests
from service_kit.fair_queue import FairQueue
from service_kit.http import errors, metrics
from service_kit.http.token_checks import digest_of

USUAL = re.compile(rb"(GET|POST|PUT|DELETE) /v1/[!-~]* HTTP/1\.1\r\n")
UNUSUAL = (b"\r\ntransfer-encoding:", b"\r\nexpect:", b"\r\nconnection:", b"\r\nupgrade:")
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*(?:\r\n|\Z)")
REQUEST_ID = re.compile(rb"\r\nx-request-id:[ \t]*([!-~]{1,128})[ \t]*(?:\r\n|\Z)", re.IGNORECASE)
AUTHORIZATION = re.compile(rb"\r\nauthorization:[ \t]*([ -~]*?)[ \t]*(?:\r\n|\Z)", re.IGNORECASE)
LOG_SECONDS = 1.0

log = structlog.get_logger()


class LoadShedder:
    """Refuses requests for which the queue has no room."""

    def __init__(self, queue: FairQueue, described: Mapping[str, str] = MappingProxyType({})) -> None:
        """`described` are the headers of every answer of the listener."""
        self._queue = queue
        refusal = errors.of_service(TooManyRequests())
        refusal.headers.update(described)
        self._answer = errors.as_bytes(refusal)
        self._refused = 0
        self._let_in = 0
        """Number of requests since the event loop last ran handlers. They are not in the queue yet."""
        self._let_in_of: Counter[bytes] = Counter()
        """The number of such requests by principal, if they arrived when the queue was full."""

    def refusal(self, data: bytes) -> bytes | None:
        """The refusal for `data`, if that is one complete request and must be refused. None means that it must be
        parsed.

        Data that is not exactly one plain request is left to the parser, because its end would be a guess.
        """
        if self._queue.has_room_for(self._let_in + 1):
            self._admit()
            return None
        head, ended, body = data.partition(b"\r\n\r\n")
        usual = USUAL.match(head)
        lower = head.lower()
        if not ended or usual is None or any(name in lower for name in UNUSUAL):
            return None
        length = LENGTH.search(lower)
        if len(body) != (int(length[1]) if length else 0) or lower.count(b"\r\ncontent-length") > (length is not None):
            return None
        authorization = AUTHORIZATION.search(head)
        if authorization is not None:
            principal = digest_of(authorization[1].decode())
            if not self._queue.is_full_for(principal, self._let_in, self._let_in_of[principal]):
                self._let_in_of[principal] += 1
                self._admit()
                return None
        given = REQUEST_ID.search(head)
        metrics.count_request(usual[1].decode(), None, 429, 0.0)
        self._count_refusal()
        return self._answer.replace(b"{id}", given[1] if given else ids.new_request_id().encode())

    def _admit(self) -> None:
        if not self._let_in:
            asyncio.get_running_loop().call_soon(self._forget_let_in)
        self._let_in += 1

    def _forget_let_in(self) -> None:
        self._let_in = 0
        self._let_in_of.clear()

    def _count_refusal(self) -> None:
        """Write at most one line a second to the log. A line per refusal would cost as much as the rest."""
        self._refused += 1
        if self._refused == 1:
            asyncio.get_running_loop().call_later(LOG_SECONDS, self._log_refusals)

    def _log_refusals(self) -> None:
        log.warning("requests_refused", requests=self._refused, seconds=LOG_SECONDS)
        self._refused = 0
