"""The callers of apps. They call until they are stopped."""

import asyncio
from collections.abc import Sequence

from flowpin_cli.verify.load.calls import Call, Request
from flowpin_cli.verify.load.recorder import Face, Recorder

CALLERS_PER_APP = 2
PAUSE_SECONDS = 0.02
PAUSE_AFTER_REFUSAL_SECONDS = 0.1
"""Pause after a failure. It is shorter than any Retry-After, to measure when calls are answered again."""


class AppCallers:
    def __init__(self, recorder: Recorder, face: Face) -> None:
        self._recorder = recorder
        self._face = face
        self._stopping = asyncio.Event()
        self._count = 0

    async def work(self, apps: Sequence[str]) -> None:
        """Call apps until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            for place, app in enumerate(apps):
                for number in range(CALLERS_PER_APP):
                    tasks.create_task(self._caller(f"caller-{place}-{number}", app))

    def stop(self) -> None:
        self._stopping.set()

    async def call(self, caller: str, app: str) -> Call:
        self._count += 1
        request = Request(f"call-{self._count}", "call", app, {"call": self._count})
        return await self._recorder.call(self._face, request, caller)

    async def _caller(self, caller: str, app: str) -> None:
        while not self._stopping.is_set():
            call = await self.call(caller, app)
            await asyncio.sleep(PAUSE_SECONDS if call.is_answered else PAUSE_AFTER_REFUSAL_SECONDS)
