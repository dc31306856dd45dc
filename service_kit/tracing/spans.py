"""The spans of one process, around each RPC that it serves or calls. W3C's `traceparent` connects them to one trace."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service_kit.channel import Interceptor

EXPORT_SECONDS = 3
"""How long sending may take in total. This also delays the stop of a process if the collector is unreachable."""
CARRIER = TraceContextTextMapPropagator()
OUR_FAULT = {
    code.value[0]
    for code in (
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    )
}
"""Codes that make a server's span an error, by OpenTelemetry's conventions. For a client's span, all codes except OK
do.
"""

Context = grpc.aio.ServicerContext[Any, Any]


class Spans:
    """Opens spans, which a thread of the SDK sends. They contain names and codes, but no data of callers."""

    def __init__(self, process: str, endpoint: str) -> None:
        """The OTEL_… variables that the SDK reads itself (sampler, batches, headers) apply as well."""
        resource = Resource.create({"service.name": process, "service.namespace": "flowpin"})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_SECONDS))
        )
        self._tracer = self._provider.get_tracer("flowpin")

    def close(self) -> None:
        """Send the remaining spans. Blocks for at most EXPORT_SECONDS."""
        self._provider.shutdown()

    def client_interceptor(self) -> Interceptor:
        return _ClientSpans(self._tracer)

    def unary(self, method: str, behavior: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def traced(request: Any, context: Context) -> Any:
            answering, span = behavior(request, context), self._answering(method, context)
            del request, context  # because an aborted RPC keeps this frame
            with span:
                return await answering

        return traced

    def streaming(self, method: str, behavior: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        async def traced(request: Any, context: Context) -> AsyncIterator[Any]:
            answering, span = behavior(request, context), self._answering(method, context)
            del request, context  # because an aborted RPC keeps this frame
            with span:
                async for response in answering:
                    yield response

        return traced

    @contextmanager
    def server_span(self, name: str, headers: Mapping[str, str], attributes: Mapping[str, str]) -> Iterator[Span]:
        """A span around a served call. It is part of the trace that `headers` name, if any."""
        with self._tracer.start_as_current_span(
            name,
            context=CARRIER.extract(headers),
            kind=SpanKind.SERVER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield span

    @contextmanager
    def _answering(self, method: str, context: Context) -> Iterator[None]:
        headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        with self.server_span(method.lstrip("/"), headers, _attributes(method)) as span:
            canceled = False
            try:
                yield
            except asyncio.CancelledError:
                canceled = True
                raise
            finally:
                code = grpc.StatusCode.CANCELLED.value[0] if canceled else _number(context.code())
                _end(span, code, failed=code in OUR_FAULT)


class _ClientSpans(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]  # generic in its stubs only
    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def intercept_unary_unary(
        self, continuation: Callable[..., Awaitable[Any]], client_call_details: Any, request: Any
    ) -> Any:
        details = client_call_details
        method = details.method.decode() if isinstance(details.method, bytes) else details.method
        with self._tracer.start_as_current_span(
            method.lstrip("/"),
            kind=SpanKind.CLIENT,
            attributes=_attributes(method),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            headers: dict[str, str] = {}
            CARRIER.inject(headers)
            metadata = grpc.aio.Metadata(*(details.metadata or ()), *headers.items())
            call = await continuation(details._replace(metadata=metadata), request)
            try:
                code = _number(await call.code())
            except asyncio.CancelledError:
                call.cancel()  # otherwise the call would continue without a caller
                raise
            _end(span, code, failed=code != 0)
            return call


def _attributes(method: str) -> dict[str, str]:
    _, service, name = method.split("/")
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}


def _number(code: grpc.StatusCode | int | None) -> int:
    return int(code.value[0]) if isinstance(code, grpc.StatusCode) else code or 0


def _end(span: Span, code: int, *, failed: bool) -> None:
    span.set_attribute("rpc.grpc.status_code", code)
    if failed:
        span.set_status(Status(StatusCode.ERROR))
