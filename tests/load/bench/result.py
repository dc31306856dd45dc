"""Results of the bench: a Load (one drive), a Row (one figure of the table), and its Target."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TIMES = "\N{MULTIPLICATION SIGN}"
AS_STRIPPED = "missed, as stripped"
"""The verdict on a row whose target a stripped program misses as well."""
NEAR = 85.0
"""Minimum percent of a stripped program's rate for that verdict: little is left to gain."""


class Unmeasurable(Exception):
    """The row could not be measured. The message says why, and what would help."""


@dataclass(frozen=True, slots=True)
class Load:
    """The result of one drive. The rate counts successful answers per second."""

    rate: float
    p50_ms: float
    p99_ms: float
    count: int
    errors: int = 0
    cpu_us: Mapping[str, float] = field(default_factory=dict)
    """CPU per call in microseconds, by process."""

    @property
    def total_cpu_us(self) -> float:
        """CPU per call of all server processes together."""
        return sum(self.cpu_us.values())


@dataclass(frozen=True, slots=True)
class Target:
    """The minimum or maximum for a row's value."""

    bound: float
    unit: str
    """Unit of value and bound: "%" of the ceiling, TIMES, "ms", "s", "MB", "MB/s"."""
    is_least: bool

    @staticmethod
    def at_least(bound: float, unit: str) -> "Target":
        return Target(bound, unit, is_least=True)

    @staticmethod
    def at_most(bound: float, unit: str) -> "Target":
        return Target(bound, unit, is_least=False)

    def is_met(self, value: float) -> bool:
        return value >= self.bound if self.is_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.is_least else '≤'} {shown(self.bound, self.unit)}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `value`, in the target's unit, is compared with the target."""

    name: str
    load: Load | None = None
    """The measured load, whose rate and percentiles are printed."""
    ceiling: float | None = None
    """Calls a second of its ceiling or peer, in the same run."""
    value: float | None = None
    unit: str = ""
    """Unit of a value without a target."""
    target: Target | None = None
    note: str = ""
    """Information for the reader: what was compared with what, and what was shortened."""
    raw: Mapping[str, Any] = field(default_factory=dict)
    """All figures, for the JSON."""
    stripped: float | None = None
    """Our rate in percent of the stripped program's, in the same run."""
    problem: str = ""
    """Why it could not be measured."""

    @property
    def verdict(self) -> str:
        """passed, missed, AS_STRIPPED or not measured. Empty without a target."""
        if self.problem:
            return "not measured"
        if self.target is None or self.value is None:
            return ""
        if self.target.is_met(self.value):
            return "passed"
        return "missed" if self.stripped is None or self.stripped < NEAR else AS_STRIPPED

    @property
    def shown_value(self) -> str:
        if self.value is None:
            return ""
        return shown(self.value, self.target.unit if self.target else self.unit)


def shown(value: float, unit: str) -> str:
    """A number with three digits and its unit."""
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}" + (unit if unit in ("%", TIMES, "") else f" {unit}")
