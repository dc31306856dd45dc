"""Writes outcomes of runs and failures, as JSON or as the last event of a stream."""

from uuid import UUID

import msgspec
from aiohttp import web

from run_service.errors import MediaTypeUnsupported, RunCanceled, RunFailed, RunTimedOut
from run_service.hosting.client import RunEnded
from service_kit.byte_budget import Reservation
from service_kit.errors import ServiceError
from service_kit.http import errors
from service_kit.http.answers import Answer

OUTPUT = "output"


def of_output(run_id: UUID, output: bytes, reservation: Reservation) -> web.Response:
    answer = Answer(body=result(run_id, output), content_type="application/json")
    answer.reservation = reservation
    return answer


def of_failure(error: ServiceError) -> web.Response:
    """The error envelope, with the statuses that only apps use."""
    details = {**error.fields, **error.metadata, "reason": error.reason}
    match error:
        case RunFailed():
            return errors.envelope(500, "run_failed", error.message, details)
        case MediaTypeUnsupported():
            return errors.envelope(415, "unsupported_media_type", error.message, details)
    return errors.of_service(error)


def check_ended(run_id: UUID, ended: RunEnded, run_seconds: float) -> bytes:
    """The run's output as callers see it. Raises RunFailed, RunTimedOut or RunCanceled."""
    match ended.status:
        case "completed":
            return unwrapped(ended.output or b"null")
        case "timed_out":
            raise RunTimedOut(run_seconds, run_id=str(run_id))
        case "canceled":
            raise RunCanceled(run_id=str(run_id))
    details = {"run_id": str(run_id), "error": ended.error or "unknown"} | ({"node": ended.node} if ended.node else {})
    where = f" in the node {ended.node}" if ended.node else ""
    raise RunFailed(f"The run failed{where}: {ended.error or 'the replica gives no reason'}", **details)


def unwrapped(output: bytes) -> bytes:
    """The output of the Output node, or the value of its field `output` if that is the only one."""
    if output[:1] != b"{":
        return output
    fields = msgspec.json.decode(output, type=dict[str, msgspec.Raw])
    return bytes(fields[OUTPUT]) if fields.keys() == {OUTPUT} else output


def last_event(run_id: UUID, ended: RunEnded, run_seconds: float) -> tuple[str, bytes]:
    """The name and data of the event that ends a stream: completed, failed or canceled."""
    try:
        return "completed", result(run_id, check_ended(run_id, ended, run_seconds))
    except ServiceError as error:
        body = of_failure(error).body
        name = "canceled" if isinstance(error, RunCanceled) else "failed"
        return name, body if isinstance(body, bytes) else b"{}"


def broken_event() -> tuple[str, bytes]:
    """The last event of a stream that failed because of a bug in this service."""
    body = errors.internal().body
    return "failed", body if isinstance(body, bytes) else b"{}"


def result(run_id: UUID, output: bytes) -> bytes:
    """The answer of a completed run."""
    return b'{"id":"%s","output":%s}' % (str(run_id).encode(), output)
