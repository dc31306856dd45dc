"""Requests that test a flow, and flows for them. Flows of the stand-in runtime do what the input says."""

import json
from textwrap import dedent
from typing import Any

import aiohttp

from tests.support.apps.installation import Installation
from tests.support.stack import FLOW, Answer

CODE = dedent("""
    import os

    def run(value, emit, canceled):
        for number in range(value.get("stream", 0)):
            emit("streaming", {"number": number})
        if "wait" in value:
            canceled.wait(value["wait"])
        if "fail" in value:
            raise ValueError(value["fail"])
        return {"name": NAME, "echo": value, "secret": os.environ.get("SECRET")}
""")


def flow(name: str = "canvas", **told: Any) -> dict[str, Any]:
    """A flow that answers with its name, its input and the variable SECRET."""
    return {**json.loads(FLOW), "code": f"NAME = {name!r}\n{CODE}", **told}


def form(**fields: Any) -> aiohttp.FormData:
    """A form as the official command line sends it: documents as JSON text, bytes as files."""
    data = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        if isinstance(value, bytes):
            data.add_field(name, value, filename=f"{name}.bin", content_type="application/octet-stream")
        else:
            data.add_field(name, value if isinstance(value, str) else json.dumps(value))
    return data


async def send(
    installation: Installation, path: str, body: Any, *, token: str = "editor", headers: Any = None
) -> Answer:
    """Send a form or JSON with POST through the gateway."""
    stack = installation.stack
    sent = {"Authorization": f"Bearer {stack.people.secret(token)}", **(headers or {})}
    given = {"data": body} if isinstance(body, aiohttp.FormData | bytes) else {"json": body}
    async with stack.session.post(f"http://127.0.0.1:{stack.gateway_port}{path}", headers=sent, **given) as answer:
        return Answer(answer.status, answer.headers, await answer.read())


async def run_canvas(installation: Installation, flow: Any, given: Any = None, **fields: Any) -> Answer:
    project = str(installation.stack.people.project)
    return await send(
        installation,
        "/v1/workflows/test",
        form(**{"project_id": project, "flow": flow, "input": given or {}, **fields}),
    )


def events(text: bytes) -> list[tuple[str, Any]]:
    found = []
    for block in text.decode().split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            name = lines[0].removeprefix("event: ")
            found.append((name, json.loads("\n".join(line.removeprefix("data: ") for line in lines[1:]))))
    return found
