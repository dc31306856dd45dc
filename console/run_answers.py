"""The answer of a run as a page shows it, whole or streamed."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from google.api.httpbody_pb2 import HttpBody
from google.rpc.http_pb2 import HttpResponse

from console.shown import pretty_json

MOST_ANSWER_BYTES = 1 << 20
"""Limit of the shown part of an answer."""
MOST_NODES = 200
ENDS = ("completed", "failed", "canceled")
"""The last event of a stream."""


@dataclass(slots=True)
class StreamedNode:
    """A node whose messages were in the stream."""

    ref: str
    name: str
    type: str
    messages: int = 0


@dataclass(slots=True)
class RunAnswer:
    """The answer received so far. `outcome` is running, completed, failed or canceled."""

    is_stream: bool = False
    outcome: str = "running"
    run_id: str = ""
    output: str = ""
    text: str = ""
    """The text that nodes have streamed."""
    nodes: dict[str, StreamedNode] = field(default_factory=dict)
    error: str = ""
    failed_node: str = ""
    """Id or name of the node that failed."""
    version: str = ""
    deployment_id: str = ""
    seconds: float = 0.0
    is_cut: bool = False
    body: bytes = b""

    def take(self, message: HttpBody) -> str:
        """Read the next message. Returns the text that nodes streamed with it."""
        for extension in message.extensions:
            head = HttpResponse()
            if extension.Unpack(head):
                named = {each.key: each.value for each in head.headers}
                self.version = named.get("X-Flowpin-Version", "")
                self.deployment_id = named.get("X-Flowpin-Deployment", "")
        if not self.is_stream:
            self.body += message.data[: MOST_ANSWER_BYTES + 1 - len(self.body)]
            return ""
        before = len(self.text)
        for name, data in _events(message.data):
            if name in ENDS and isinstance(data, dict) and ("output" in data or "error" in data):
                self._end(data, "canceled" if name == "canceled" else "")
            else:
                self._note(data)
        return self.text[before:]

    def end(self) -> None:
        """Handle the end of the messages."""
        if not self.is_stream:
            self.is_cut = len(self.body) > MOST_ANSWER_BYTES
            try:
                found = json.loads(self.body)
            except (ValueError, RecursionError):
                found = None
            if isinstance(found, dict):
                self._end(found)
            else:
                self.outcome, self.output = "completed", self.body.decode("utf-8", "replace")
        if self.outcome == "running":
            self.outcome, self.error = "failed", "The stream ended before the run did."

    def state_of(self, node: StreamedNode) -> tuple[str, str]:
        """The word and the tone of a node's state."""
        if self.failed_node and self.failed_node in (node.ref, node.name):
            return "Failed", "bad"
        if self.outcome == "running":
            return "Streaming", "busy"
        return ("Completed", "good") if self.outcome == "completed" else ("Streamed", "quiet")

    def _end(self, data: dict[str, Any], outcome: str = "") -> None:
        error = data.get("error")
        if isinstance(error, dict):
            details = error.get("details")
            details = details if isinstance(details, dict) else {}
            self.outcome = outcome or ("canceled" if details.get("reason") == "RUN_CANCELED" else "failed")
            self.error = str(details.get("error") or error.get("message", ""))
            self.failed_node = str(details.get("node", ""))
            self.run_id = str(details.get("run_id", ""))
        else:
            self.outcome, self.run_id = "completed", str(data.get("id", ""))
            output = data.get("output")
            text = output if isinstance(output, str) else pretty_json(json.dumps(output))
            self.output, self.is_cut = text[:MOST_ANSWER_BYTES], self.is_cut or len(text) > MOST_ANSWER_BYTES

    def _note(self, data: Any) -> None:
        """Read a message of the SDK: its node and its text."""
        if not isinstance(data, dict):
            return
        source = data.get("source")
        source = source if isinstance(source, dict) else {}
        ref = str(source.get("id") or data.get("entity_id") or "")
        if ref and (ref in self.nodes or len(self.nodes) < MOST_NODES):
            name, kind = str(source.get("name") or ref), str(source.get("type") or "")
            self.nodes.setdefault(ref, StreamedNode(ref, name, kind)).messages += 1
        room = MOST_ANSWER_BYTES - len(self.text)
        text = _text_of(data.get("data"))
        self.is_cut = self.is_cut or len(text) > room
        self.text += text[:room]


async def answered(messages: AsyncGenerator[HttpBody, None], answer: RunAnswer) -> AsyncGenerator[str, None]:
    """Read the run into `answer`, and yield the text that nodes stream. Raises ServiceError."""
    async with aclosing(messages):
        async for message in messages:
            yield answer.take(message)
            if answer.is_cut and not answer.is_stream:
                break
    answer.end()


def _events(text: bytes) -> list[tuple[str, Any]]:
    """Names and data of events. A message has complete events."""
    found = []
    for block in text.split(b"\n\n"):
        name, data = "", b""
        for line in block.split(b"\n"):
            if line.startswith(b"event: "):
                name = line[7:].decode("utf-8", "replace")
            elif line.startswith(b"data: "):
                data += line[6:]
        if data:
            try:
                found.append((name, json.loads(data)))
            except (ValueError, RecursionError):
                continue
    return found


def _text_of(data: Any) -> str:
    """The text of a message from an LLM or agent: `choices[0].delta.content`, a text or a list of parts."""
    try:
        content = data["choices"][0]["delta"]["content"]
    except (KeyError, IndexError, TypeError):
        return ""
    if isinstance(content, dict):
        content = content.get("answer") or content.get("thought") or ""
    return content if isinstance(content, str) else ""
