"""A model's HTTP API for tests. It answers chat completions with the words of the question, streamed or not."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class ModelServer:
    url: str = ""
    keys: list[str] = field(default_factory=list)
    """The bearer tokens received."""

    async def complete(self, request: web.Request) -> web.StreamResponse:
        self.keys.append(request.headers.get("Authorization", "").removeprefix("Bearer "))
        asked = await request.json()
        words = str(asked["messages"][-1]["content"]).split()
        if not asked.get("stream"):
            message = {"role": "assistant", "content": " ".join(words)}
            return web.json_response(chunk("chat.completion", {"message": message}, "stop"))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for word in words:
            await response.write(line(chunk("chat.completion.chunk", {"delta": {"content": word + " "}}, None)))
        await response.write(line(chunk("chat.completion.chunk", {"delta": {}}, "stop")) + b"data: [DONE]\n\n")
        return response


def chunk(kind: str, choice: dict, finished: str | None) -> dict:
    choices = [{"index": 0, "finish_reason": finished, **choice}]
    return {"id": "c", "object": kind, "created": 1, "model": "gpt-4o-mini", "choices": choices}


def line(value: dict) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


@asynccontextmanager
async def running_model() -> AsyncIterator[ModelServer]:
    server = ModelServer()
    app = web.Application()
    app.router.add_post("/chat/completions", server.complete)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()
