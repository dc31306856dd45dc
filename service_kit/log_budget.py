"""A limit for the log lines that callers can cause before anyone knows them."""

import contextvars
import time

import structlog

log = structlog.get_logger()


class LogBudget:
    """Limits lines per second. The first line after that is preceded by the number of omitted lines."""

    def __init__(self, event: str, lines: int) -> None:
        """`event` names the line about those that were left out; it has their number as `count`."""
        self._event = event
        self._lines = lines
        self._taken = 0
        self._left_out = 0
        self._since = time.monotonic()

    def take(self) -> bool:
        """Whether the caller may log a line."""
        now = time.monotonic()
        if now - self._since >= 1:
            if self._left_out:  # not in this call's context: the line is about all of them
                contextvars.Context().run(log.warning, self._event, count=self._left_out)
            self._since, self._taken, self._left_out = now, 0, 0
        if self._taken == self._lines:
            self._left_out += 1
            return False
        self._taken += 1
        return True
