"""Ends calls that fail: reports the cause to the caller and the log, and frees everything of the call.

Reference counting alone must free a refused call. grpc.aio (1.85) keeps the AbortError of an aborted RPC, and the error
keeps its frames. A frame that still refers to the request or the context would keep both until the garbage collector
runs.
"""

import time
from collections.abc import Awaitable
from typing import Any

import grpc
import structlog

from service_kit import metrics
from service_kit.database_errors import describe, service_error
from service_kit.db import FAILURES
from service_kit.errors import STATUS_DETAILS, ServiceError, Unauthenticated
from service_kit.log_budget import LogBudget

Context = grpc.aio.ServicerContext[Any, Any]

UNAUTHENTICATED_LINES = 20
"""Lines per second and process. A refused call needs some 20 bytes of compressed headers, but a line has 300."""

log = structlog.get_logger()
_unauthenticated = LogBudget("unauthenticated_calls_not_logged", UNAUTHENTICATED_LINES)


def failure_of(method: str, error: Exception) -> ServiceError:
    """The caller's error for `error`. Logs details that the caller must not see, and removes the error's frames."""
    if isinstance(error, ServiceError):
        failure = error
    elif isinstance(error, FAILURES):
        log.warning("database_failed", rpc=method, error=describe(error))
        failure = service_error(error)
    else:
        log.error("rpc_broke", rpc=method, exc_info=error)
        failure = ServiceError("An internal error occurred.")
    forget_frames(error)
    return failure


def forget_frames(error: BaseException) -> None:
    """Remove the traceback of an error and of its causes, because its frames refer to the request."""
    found = [error]
    while found:
        each = found.pop()
        found += [cause for cause in (each.__cause__, each.__context__) if cause is not None]
        if isinstance(each, BaseExceptionGroup):
            found += each.exceptions
        each.__traceback__ = each.__cause__ = each.__context__ = None


def abort(context: Context, failure: ServiceError) -> Awaitable[Any]:
    """Ends the RPC by raising when it is awaited.

    Await it outside of `except` blocks, whose exception would be kept as its context. The awaiting frame must have
    deleted its references to the request and to `context`.
    """
    return context.abort(failure.code, failure.message, ((STATUS_DETAILS, failure.status),))


def record(method: str, code: str, failure: ServiceError | None, started: float) -> None:
    """Count the RPC, and log its line. `started` is a time of time.perf_counter()."""
    seconds = time.perf_counter() - started
    metrics.count_rpc(method, code, seconds)
    milliseconds = round(seconds * 1000, 2)
    if failure is None:
        log.info("rpc_handled", rpc=method, code=code, duration_ms=milliseconds)
    elif not isinstance(failure, Unauthenticated) or _unauthenticated.take():
        log.info("rpc_handled", rpc=method, code=code, reason=failure.reason, duration_ms=milliseconds)
