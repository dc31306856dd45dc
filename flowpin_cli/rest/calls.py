"""REST calls to one installation. Each write has an Idempotency-Key, and calls that may have failed are repeated."""

import http.client
import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from flowpin_cli.errors import CannotRun, Conflict, NotFound, NotPermitted
from flowpin_cli.rest.installation import Installation
from flowpin_cli.rest.trust import context_of

CALL_SECONDS = 60.0
"""Timeout, longer than the gateway takes to answer a deploy that waits for its rollout."""
TRIES = 5
FIRST_PAUSE_SECONDS = 0.2
MAX_PAUSE_SECONDS = 5.0
PAGE_SIZE = 500
WRITES = ("POST", "PUT", "DELETE")
ERRORS: dict[int, type[CannotRun]] = {401: NotPermitted, 403: NotPermitted, 404: NotFound, 409: Conflict}

Json = dict[str, Any]


class Calls:
    """The calls of one command. They raise CannotRun, or the subclass that matches the answer."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._token = installation.token
        self._address = urlsplit(installation.url)
        if self._address.scheme not in ("http", "https") or not self._address.hostname:
            raise CannotRun(f"FLOWPIN_URL must begin with http:// or https://, and is {installation.url}")
        self._connection: http.client.HTTPConnection | None = None

    @property
    def url(self) -> str:
        return self._installation.url

    @property
    def project(self) -> str | None:
        """The project from the environment: an id or a name."""
        return self._installation.project

    def get(self, path: str, **query: object) -> Any:
        """The answer's `data`."""
        return self._answer("GET", _with_query(path, query))["data"]

    def text(self, path: str, **query: object) -> str:
        """The answer as it was sent."""
        return self.send("GET", _with_query(path, query)).decode()

    def rows(self, path: str, limit: int = 0, **query: object) -> "Rows":
        """The rows of a list, at most `limit`. 0 means all."""
        rows, page, total = Rows(), 1, 1
        while len(rows) < total and (not limit or len(rows) < limit):
            size = min(limit or PAGE_SIZE, PAGE_SIZE)
            answer = self._answer("GET", _with_query(path, {**query, "page": page, "page_size": size}))
            if not answer["data"]:
                break
            rows += answer["data"]
            total, page = answer["pagination"]["total_count"], page + 1
        rows.total = max(total if rows else 0, len(rows))
        if limit:
            del rows[limit:]
        return rows

    def post(self, path: str, body: Json | str | None = None) -> Any:
        """The answer's `data`. `body` may already be JSON text."""
        return self._answer("POST", path, body)["data"]

    def post_all(self, path: str, body: Json | str | None = None) -> Json:
        """The whole answer. `body` may already be JSON text."""
        return self._answer("POST", path, body)

    def put(self, path: str, body: Json) -> Any:
        return self._answer("PUT", path, body)["data"]

    def delete(self, path: str) -> None:
        self._answer("DELETE", path)

    def _answer(self, method: str, path: str, body: Json | str | None = None) -> Json:
        try:
            answer: Json = json.loads(self.send(method, path, body))
        except ValueError:
            raise CannotRun(
                f"{self.url} does not answer {method} {path} as Flowpin does; is FLOWPIN_URL right?"
            ) from None
        return answer

    def send(self, method: str, path: str, body: Json | str | None = None) -> bytes:
        """The content of the answer. The call is repeated after connection errors, 429, 503, 504, and if a call with
        the same key is still in progress.

        A token of `flowpin login` that is refused is refreshed once.
        """
        headers = {"Authorization": f"Bearer {self._token}", "User-Agent": "flowpin"}
        renew = self._installation.renew
        content = None
        if method in WRITES:
            headers["Idempotency-Key"] = os.urandom(16).hex()
            headers["Content-Type"] = "application/json"
            content = (body if isinstance(body, str) else json.dumps(body or {})).encode()
        pauses = _pauses()
        while True:
            try:
                status, answered, received = self._once(method, path, content, headers)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                pause = next(pauses, None)
                if pause is None:
                    raise CannotRun(f"{self.url} cannot be reached: {_said(error)}") from None
            else:
                if status < 300:
                    return received
                if status == 401 and renew is not None:
                    self._token, renew = renew(self._token), None
                    headers["Authorization"] = f"Bearer {self._token}"
                    continue
                pause = next(pauses, None) if _may_pass(status, answered) else None
                if pause is None:
                    raise _refusal(method, path, status, received, self._installation)
                pause = max(pause, min(_retry_after(answered), MAX_PAUSE_SECONDS))
            time.sleep(pause)

    def _once(
        self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        if self._connection is None:
            host, port = self._address.hostname or "", self._address.port
            if self._address.scheme == "https":
                context = context_of(self._installation.ca)
                self._connection = http.client.HTTPSConnection(host, port, timeout=CALL_SECONDS, context=context)
            else:
                self._connection = http.client.HTTPConnection(host, port, timeout=CALL_SECONDS)
        self._connection.request(method, self._address.path + path, content, dict(headers))
        response = self._connection.getresponse()
        return response.status, dict(response.headers.items()), response.read()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Rows(list[Any]):
    """Some rows of a list."""

    total = 0
    """The total number of rows."""


def part(text: str) -> str:
    """A name as a part of a path."""
    return quote(text, safe="@")


def _with_query(path: str, query: Mapping[str, object]) -> str:
    given = {name: _queried(value) for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _queried(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pauses() -> Iterator[float]:
    import random

    for number in range(TRIES - 1):
        yield FIRST_PAUSE_SECONDS * 2**number * random.uniform(0.8, 1.2)  # noqa: S311 - callers that failed together


def _may_pass(status: int, headers: Mapping[str, str]) -> bool:
    return status in (429, 503, 504) or (status == 409 and "Retry-After" in headers)


def _retry_after(headers: Mapping[str, str]) -> float:
    try:
        return float(headers.get("Retry-After", 0))
    except ValueError:
        return 0


def _said(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")


def _refusal(method: str, path: str, status: int, content: bytes, installation: Installation) -> CannotRun:
    kind = ERRORS.get(status, CannotRun)
    try:
        error = json.loads(content)["error"]
        message, details = str(error["message"]), error.get("details", {})
    except (ValueError, KeyError, TypeError):
        return kind(f"{method} {path} was answered with {status}")
    more = [f"{name}: {said}" for name, said in details.items() if name != "reason" and str(said) not in message]
    if status == 401 and installation.renew is not None:
        more.append("This is the token of `flowpin login`: sign in again, or end it with `flowpin logout`.")
    reason = f" ({details['reason']})" if "reason" in details else ""
    return kind("\n  ".join([f"{message.rstrip('.')}{reason}", *more]))
