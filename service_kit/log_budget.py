"""Limits the log lines that unauthenticated callers can cause."""

import contextvars
import time

import structlog

log = structlog.get_logger()


class LogBudget:
    """Limits lines per second. The first line after the limit is preceded by the number of omitted lines."""

    def __init__(self, event: str, lines: int) -> None:
        """`event` is the name of the line about omitted lines. Its `count` is their number."""
        self._event = event
        self._lines = lines
        self._taken = 0
        self._left_out = 0
        self._since = time.monotonic()

    def take(self) -> bool:
        """Whether a line may be logged."""
        now = time.monotonic()
        if now - self._since >= 1:
            if self._left_out:  # not in this call's context, because the line is about all calls
                contextvars.Context().run(log.warning, self._event, count=self._left_out)
            self._since, self._taken, self._left_out = now, 0, 0
        if self._taken == self._lines:
            self._left_out += 1
            return False
        self._taken += 1
        return True
