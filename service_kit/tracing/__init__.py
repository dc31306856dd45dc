"""Optional OpenTelemetry. It is imported only with the extra `otel` and a collector's address."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from service_kit.channel import Interceptor

if TYPE_CHECKING:
    from service_kit.tracing.spans import Spans

log = structlog.get_logger()


@asynccontextmanager
async def open_spans(process: str, endpoint: str | None) -> AsyncIterator["Spans | None"]:
    """Send the spans of `process` to the OTLP collector at `endpoint`. None without an endpoint or the extra."""
    if endpoint is None:
        yield None
        return
    try:
        from service_kit.tracing.spans import Spans
    except ModuleNotFoundError as error:
        log.warning("tracing_disabled", error=f"{error}; pip install 'flowpin[otel]'")
        yield None
        return
    spans = Spans(process, endpoint)
    try:
        yield spans
    finally:
        await asyncio.to_thread(spans.close)


def client_interceptors(spans: "Spans | None") -> Sequence[Interceptor]:
    """Interceptors that make a channel's calls part of the trace."""
    return () if spans is None else (spans.client_interceptor(),)
