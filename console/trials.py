"""Shared code of the Test pages of apps and versions: the form, the run of its input, and the answer."""

import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message

from console.forms import Form
from console.input_fields import (
    InputField,
    InputNotRead,
    example_of,
    input_from_fields,
    input_from_json,
    read_fields,
)
from console.run_answers import RunAnswer, answered
from console.streams import HEARTBEAT_SECONDS
from console.visit import Visit
from service_kit.errors import ServiceError
from service_kit.http.event_stream import EventStream
from service_kit.pb.flowpin.run.v1 import run_pb2

STREAM_PART = "stream"
"""Value of the header X-Part from a script that wants a streamed answer."""
NODES_EVERY_SECONDS = 0.2


@dataclass(slots=True)
class Trial:
    """The state of a Test page's form."""

    fields: Sequence[InputField]
    is_json: bool
    text: str
    """The input as JSON, in a form with a JSON field."""
    typed: Mapping[str, str] = field(default_factory=dict)
    """The typed values, by the controls' names."""
    is_stream: bool = False
    errors: Mapping[str, str] = field(default_factory=dict)

    def input(self) -> run_pb2.Json:
        """The input for the run. Raises InputNotRead, and stores its errors."""
        try:
            text = input_from_json(self.text) if self.is_json else input_from_fields(self.fields, self.typed)
        except InputNotRead as error:
            self.errors = error.errors
            raise
        return run_pb2.Json(utf8=text.encode())


@dataclass(frozen=True, slots=True)
class AnswerPages:
    """The links of an answer: to the version and its nodes, and to the app's runs, if any."""

    version: str
    runs: str
    refs: Mapping[str, str]
    """References of the flow's nodes, by ids and names."""

    def node_ref(self, node: str) -> str:
        return self.refs.get(node, node)


@dataclass(frozen=True, slots=True)
class TrialPage:
    """A Test page. `template` is its file in templates/, `context` the values for it."""

    visit: Visit
    template: str
    trial: Trial
    pages: AnswerPages
    context: Mapping[str, Any]

    async def show(
        self, *, answer: RunAnswer | None = None, error: ServiceError | None = None, status: int = 200
    ) -> web.Response:
        shown = {"trial": self.trial, "pages": self.pages, "answer": answer, "error": error}
        return await self.visit.page(self.template, status=status, **self.context, **shown)

    async def run(self, request_of: Callable[[run_pb2.Json], Message]) -> web.StreamResponse:
        """Call the RPC of `request_of(input)`. Returns the page with the answer, or a stream for the page's script.

        There is no redirect, because repeating a test by a reload is harmless.
        """
        try:
            asked = request_of(self.trial.input())
        except InputNotRead:
            return await self.show(status=400)
        messages = self.visit.stream(asked, HttpBody)
        try:
            if self.trial.is_stream and self.visit.request.headers.get("X-Part") == STREAM_PART:
                return await _stream_answer(self.visit, messages, self.pages)
            answer = await _whole_answer(messages, is_stream=self.trial.is_stream)
        except ServiceError as error:
            return await self.show(error=error, status=409)
        return await self.show(answer=answer)


def first_trial(visit: Visit, flow: bytes) -> Trial:
    """The empty form of a flow."""
    fields = read_fields(flow)
    return Trial(fields, visit.request.query.get("as") == "json" or not fields, example_of(fields))


def sent_trial(form: Form, flow: bytes) -> Trial:
    """The submitted form."""
    fields = read_fields(flow)
    is_json = form.text("as") == "json" or not fields
    return Trial(fields, is_json, form.fields.get("input", ""), form.fields, form.text("stream") == "yes")


def answer_pages(version: str, runs: str, flow: bytes) -> AnswerPages:
    """The links of an answer. `version` and `runs` are URLs."""
    refs: dict[str, str] = {}
    try:
        nodes = json.loads(flow)["nodes"]
        for name in ("name", "id"):
            refs |= {str(node[name]): str(node["id"]) for node in nodes if node.get(name) and node.get("id")}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return AnswerPages(version, runs, refs)


async def _whole_answer(messages: AsyncGenerator[HttpBody, None], *, is_stream: bool) -> RunAnswer:
    """Read all messages. Raises ServiceError."""
    answer, began = RunAnswer(is_stream), time.monotonic()
    async with aclosing(answered(messages, answer)) as texts:
        async for _ in texts:
            pass
    answer.seconds = time.monotonic() - began
    return answer


async def _stream_answer(
    visit: Visit, messages: AsyncGenerator[HttpBody, None], pages: AnswerPages
) -> web.StreamResponse:
    """Stream the answer to run.js: an event `begin` with the empty card, `text` with text from nodes, `nodes` with the
    table of nodes, and `done` with the whole card. Raises ServiceError before the first event."""
    answer, began, told_at = RunAnswer(is_stream=True), time.monotonic(), 0.0
    async with aclosing(answered(messages, answer)) as texts:
        await anext(texts, "")
        stream = EventStream(visit.request, HEARTBEAT_SECONDS)
        async with stream:
            await stream.send("begin", await _part(visit, "run_answer.html", answer, pages))
            try:
                async for more in texts:
                    if more:
                        await stream.send("text", json.dumps({"text": more}).encode())
                    if answer.nodes and time.monotonic() - told_at > NODES_EVERY_SECONDS:
                        told_at = time.monotonic()
                        await stream.send("nodes", await _part(visit, "run_nodes.html", answer, pages))
            except ServiceError as error:
                answer.outcome, answer.error = "failed", error.message
            answer.seconds = time.monotonic() - began
            await stream.send("done", await _part(visit, "run_answer.html", answer, pages))
    return stream.response


async def _part(visit: Visit, template: str, answer: RunAnswer, pages: AnswerPages) -> bytes:
    return json.dumps({"html": await visit.text(template, answer=answer, pages=pages)}).encode()
