"""Percentiles of single measurements."""

import math
from collections.abc import Iterable


def percentiles(values: Iterable[float], *wanted: float) -> tuple[float, ...]:
    """The smallest value that at least so many percent do not exceed. NaN without values."""
    ordered = sorted(values)
    if not ordered:
        return tuple(math.nan for _ in wanted)
    return tuple(ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] for percent in wanted)


def median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
