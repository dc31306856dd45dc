"""What a bench finds: a Load (one drive of one target), a Row (one figure of the table), its Target."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TIMES = "\N{MULTIPLICATION SIGN}"
AS_STRIPPED = "missed, as stripped"
"""The verdict on a row that misses its target while a stripped program misses it as well."""
NEAR = 85.0
"""Percent of a stripped program's rate from which on what is left to gain is not worth a missed row."""


class Unmeasurable(Exception):
    """The row could not be measured; the message says why, and what would help."""


@dataclass(frozen=True, slots=True)
class Load:
    """One drive of one target. Rates are answers a second that were a success."""

    rate: float
    p50_ms: float
    p99_ms: float
    count: int
    errors: int = 0
    cpu_us: Mapping[str, float] = field(default_factory=dict)
    """CPU a call, in microseconds, by process."""

    @property
    def total_cpu_us(self) -> float:
        """Of all server processes together."""
        return sum(self.cpu_us.values())


@dataclass(frozen=True, slots=True)
class Target:
    """What a row's value must at least, or at most, be."""

    bound: float
    unit: str
    """Of value and bound: "%" of the ceiling, TIMES, "ms", "s", "MB", "MB/s"."""
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
    """One line of the table. `value`, in the target's unit, is what is judged."""

    name: str
    load: Load | None = None
    """What was driven; its rate and percentiles are printed."""
    ceiling: float | None = None
    """Calls a second of what it is measured against, in the same run."""
    value: float | None = None
    unit: str = ""
    """Of a value without a target; with one, it is the target's."""
    target: Target | None = None
    note: str = ""
    """What a reader has to know: what was driven against what, and what was made shorter."""
    raw: Mapping[str, Any] = field(default_factory=dict)
    """All there is, for the JSON."""
    stripped: float | None = None
    """Our rate in percent of a program's that does only the unavoidable steps, in the same run."""
    problem: str = ""
    """Why it could not be measured."""

    @property
    def verdict(self) -> str:
        """passed, missed, AS_STRIPPED, not measured; nothing without a target."""
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
    """A number with its unit, three digits of it, as a person writes it."""
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}" + (unit if unit in ("%", TIMES, "") else f" {unit}")
