"""Calls apps as their users do: at the router, with an access key."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from flowpin_cli.rest.trust import context_of
from flowpin_cli.verify.load.calls import UNREADABLE, Reply, Request
from flowpin_cli.verify.load.options import Target

CALL_SECONDS = 15.0
"""The deadline of each call. A router makes calls wait longer than this while a host process imports the SDK."""
MAYBE_LATER = (429, 503)


class AppFace:
    name = "apps"

    def __init__(self, target: Target, session: aiohttp.ClientSession) -> None:
        self._target = target
        self._session = session

    async def send(self, request: Request) -> Reply:
        url = f"{self._target.apps_url}/{request.target}"
        headers = {"Authorization": f"Bearer {self._target.access_key}"}
        try:
            async with self._session.post(url, json={"input": request.sent}, headers=headers) as response:
                return _reply(response.status, response.headers, await response.read())
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return Reply("unknown", type(error).__name__)


def _reply(status: int, headers: Any, content: bytes) -> Reply:
    """The reply for an answer. A 503 without `Retry-After` does not count as a refusal, because the contract has none
    like it."""
    try:
        answer = json.loads(content)
        if status == 200:
            got = {"deployment": headers["X-Flowpin-Deployment"], "version": headers["X-Flowpin-Version"]}
            return Reply("answered", "200", {**got, "answer": answer["output"]})
        reason = answer["error"].get("details", {}).get("reason", "")
    except (ValueError, LookupError, AttributeError, TypeError):
        return Reply("unknown", f"{status} {UNREADABLE}", {"body": content[:200].decode(errors="replace")})
    if status in MAYBE_LATER and "Retry-After" not in headers:
        return Reply("unknown", f"{status} {reason} {UNREADABLE}", {"body": "no Retry-After"})
    is_refused = status < 500 or status in MAYBE_LATER
    return Reply("refused" if is_refused else "unknown", f"{status} {reason}".strip())


@asynccontextmanager
async def open_apps(target: Target) -> AsyncIterator[AppFace]:
    timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
    connector = aiohttp.TCPConnector(limit=0, ssl=context_of(target.ca) or True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        yield AppFace(target, session)
