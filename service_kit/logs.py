"""Structured logs on stderr: JSON lines, or columns for a person at a terminal."""

import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Literal

import msgspec
import structlog
from structlog.typing import EventDict, Processor

from service_kit.log_budget import LogBudget

Format = Literal["auto", "json", "console"]

LIBRARY_RECORDS = 10
"""Lines of libraries per second. gRPC logs a traceback of 300 bytes for 20 bytes from any client."""
LIBRARY_MESSAGE_CHARS = 500
"""Maximum length of a record's message, because gRPC's messages quote callers' data."""

_library_records = LogBudget("library_records_not_logged", LIBRARY_RECORDS)
_about: ContextVar[Mapping[str, str]] = ContextVar("about", default=MappingProxyType({}))


def about(**fields: str) -> None:
    """Add these fields to the log lines of this task from now on. They identify the call and its caller.

    One context variable has all fields. structlog's own variables, one per field, cost several times as much per call.
    """
    _about.set({**_about.get(), **fields})


def configure(service: str, level: str = "info", format: Format = "auto") -> None:  # noqa: A002 - the setting's name
    """Set up structlog for this process. `auto` is `console` on a terminal and `json` elsewhere."""
    console = format == "console" or (format == "auto" and sys.stderr.isatty())
    render: list[Processor] = (
        # The plain formatter, because the others show local variables, and so tokens and flows.
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]
    )

    def add_known(_logger: object, _method: str, event: EventDict) -> EventDict:
        return {**event, **_about.get(), "service": service}

    structlog.configure(
        processors=[
            add_known,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr)
        if console
        else structlog.BytesLoggerFactory(file=sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    libraries = logging.StreamHandler(sys.stderr)
    libraries.setFormatter(_Cut("%(name)s %(levelname)s %(message)s"))
    libraries.addFilter(lambda _: _library_records.take())
    logging.basicConfig(level=logging.WARNING, handlers=[libraries])


class _Cut(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        record.message = record.message[:LIBRARY_MESSAGE_CHARS]
        return super().formatMessage(record)


def _json(event: EventDict, **_options: object) -> bytes:
    return msgspec.json.encode(event, enc_hook=repr)
