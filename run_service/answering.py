"""Writes the events of a run as the body of an answer: JSON or server-sent events."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from uuid import UUID

from google.api.httpbody_pb2 import HttpBody
from google.rpc.http_pb2 import HttpHeader, HttpResponse

from run_service.hosting.client import RunEnded, RunEvent, RunStreamed
from run_service.router import answers
from service_kit.errors import ServiceError
from service_kit.http.event_stream import CONTENT_TYPE, event_text


async def answer_of(
    events: AsyncGenerator[RunEvent, None],
    run_id: UUID,
    headers: Mapping[str, str],
    *,
    run_seconds: float,
    is_stream: bool,
) -> AsyncGenerator[HttpBody, None]:
    """The messages of the answer, which the caller closes with `aclosing`. Raises any error that `events` raises before
    its first event."""
    async with aclosing(events):
        event = await anext(events)
        if is_stream:
            yield _first(CONTENT_TYPE, 200, headers)
        while not isinstance(event, RunEnded):
            if is_stream and isinstance(event, RunStreamed):
                yield HttpBody(data=event_text(event.name, event.data))
            event = await anext(events)
        if is_stream:
            yield HttpBody(data=event_text(*answers.last_event(run_id, event, run_seconds)))
        else:
            yield _whole(run_id, event, headers, run_seconds)


def _whole(run_id: UUID, ended: RunEnded, headers: Mapping[str, str], run_seconds: float) -> HttpBody:
    status, body = 200, b""
    try:
        body = answers.result(run_id, answers.check_ended(run_id, ended, run_seconds))
    except ServiceError as error:
        failure = answers.of_failure(error)
        status, body = failure.status, failure.body if isinstance(failure.body, bytes) else b"{}"
        headers = {**headers, **{name: failure.headers[name] for name in ("Retry-After",) if name in failure.headers}}
    message = _first("application/json", status, headers)
    message.data = body
    return message


def _first(content_type: str, status: int, headers: Mapping[str, str]) -> HttpBody:
    message = HttpBody(content_type=content_type)
    named = [HttpHeader(key=name, value=value) for name, value in headers.items()]
    message.extensions.add().Pack(HttpResponse(status=status, headers=named))
    return message
