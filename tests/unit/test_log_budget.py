"""Log lines that callers without a token can cause are limited per second, and dropped ones are counted."""

import pytest
from structlog.testing import capture_logs

from service_kit import log_budget
from service_kit.log_budget import LogBudget

pytestmark = pytest.mark.slow


def test_dropped_log_lines_are_counted_in_the_next_second(monkeypatch: pytest.MonkeyPatch):
    now = 100.0
    monkeypatch.setattr(log_budget.time, "monotonic", lambda: now)
    budget = LogBudget("lines_not_logged", 2)

    with capture_logs() as logs:
        first = [budget.take() for _ in range(5)]
        now = 101.0
        second = [budget.take() for _ in range(2)]
        now = 102.0
        third = budget.take()

    assert first == [True, True, False, False, False]
    assert [*second, third] == [True] * 3
    assert logs == [{"event": "lines_not_logged", "count": 3, "log_level": "warning"}]
