"""One caller with one request at a time on one connection: the duration of a call without other load."""

import http.client
import json
import ssl
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from tests.load.bench.percentile import percentiles
from tests.load.bench.request import Request, post
from tests.load.bench.result import Load, Unmeasurable


class Caller:
    def __init__(self, url: str, headers: Mapping[str, str], context: ssl.SSLContext | None = None) -> None:
        """`context` checks the certificate of an https URL; None: with the machine's authorities."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        self._connection: http.client.HTTPConnection = (
            http.client.HTTPSConnection(host, parts.port, timeout=60, context=context)
            if parts.scheme == "https"
            else http.client.HTTPConnection(host, parts.port, timeout=60)
        )
        self._headers = dict(headers)

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def send(self, request: Request) -> bytes:
        """The body of the answer. Raises Unmeasurable unless it is a success."""
        headers = {**self._headers, **request.headers}
        try:
            self._connection.request(request.method, request.path, request.body, headers)
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Unmeasurable(f"{request.method} {request.path}: {error!r}") from None
        if not 200 <= answer.status < 300:
            raise Unmeasurable(f"{request.method} {request.path} was answered with {answer.status}: {body[:300]!r}")
        return body

    def timed(self, request: Request) -> float:
        """Milliseconds until the whole answer has arrived."""
        sent = time.perf_counter()
        self.send(request)
        return (time.perf_counter() - sent) * 1000

    def get(self, path: str) -> Any:
        return json.loads(self.send(Request(path)))["data"]

    def post(self, path: str, body: object) -> Any:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return json.loads(self.send(post(path, raw)))["data"]

    def drive(self, requests: Iterable[Request], seconds: float) -> Load:
        """Make one call after the other, until there are no more or the time is over."""
        took: list[float] = []
        began = time.perf_counter()
        for request in requests:
            took.append(self.timed(request))
            if time.perf_counter() - began > seconds:
                break
        p50, p99 = percentiles(took, 50, 99)
        return Load(len(took) / (time.perf_counter() - began), p50, p99, len(took))
