"""Calls a real `flowpin up` over REST and gRPC, with the values of its env file."""

import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import aiohttp
import grpc

from tests.support.stack import Answer
from tests.support.up_process import Up, alive
from tests.support.waiting import wait_until


class Caller:
    """One person's calls to an installation. `token` is theirs unless another is given."""

    def __init__(self, env: Mapping[str, str], session: aiohttp.ClientSession, token: str | None = None) -> None:
        self.env = env
        self.token = token or env["FLOWPIN_TOKEN"]
        self.session = session

    async def rest(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """`body` is JSON, or bytes to send unchanged. A header `x_request_id` is sent as X-Request-Id."""
        sent = {"Authorization": f"Bearer {self.token}"}
        sent |= {name.replace("_", "-").title(): value for name, value in headers.items()}
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        async with self.session.request(method, self.env["FLOWPIN_URL"] + path, data=content, headers=sent) as response:
            return Answer(response.status, response.headers, await response.read())

    async def ok(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The `data` of a call that must succeed."""
        answer = await self.rest(method, path, body, **headers)
        assert answer.status < 300, (method, path, answer.status, answer.content[:2000])
        return answer.body.get("data")

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),)

    def channel(self, service: str) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(self.env[f"FLOWPIN_{service.upper()}_GRPC"])

    @property
    def project(self) -> str:
        return self.env["FLOWPIN_PROJECT_ID"]


def kill_all(up: Up) -> None:
    """`kill -9` of all processes of one data folder, Postgres included, before any can react."""
    family = up.family()
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in family:
            with suppress(ProcessLookupError):  # the end of one ends others
                os.kill(pid, number)
    up.ended()
    wait_until(lambda: not alive(family), 10)
