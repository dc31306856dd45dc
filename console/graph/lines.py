"""Compares two texts line by line in limited time."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import Match, SequenceMatcher
from typing import NamedTuple

MOST_STEPS = 500_000
"""Limit of compared pairs of equal lines, for all texts of a page. They take 100 ms."""
_CONTEXT = 3
"""Number of equal lines shown around each difference."""


class Line(NamedTuple):
    """A line of the comparison. `mark` is "+", "-", " " or, for omitted equal lines, "…"."""

    mark: str
    text: str
    before: int | None
    """Line number in the older text, from 1."""
    after: int | None


@dataclass(slots=True)
class LineBudget:
    """The remaining steps for the texts of a page."""

    steps: int = MOST_STEPS
    is_spent: bool = False


def lines_between(before: str, after: str, budget: LineBudget) -> tuple[Line, ...]:
    """Different lines with some equal ones around them. Empty when the budget does not suffice."""
    old, new = before.split("\n"), after.split("\n")
    start = common_start(old, new)
    end = common_start(old[start:][::-1], new[start:][::-1])
    middle, new_middle = old[start : len(old) - end], new[start : len(new) - end]
    try:
        found = _Matcher(middle, new_middle, budget).get_opcodes()
    except _TooCostly:
        budget.is_spent = True
        return ()
    blocks = [("equal", 0, start, 0, start)] if start else []
    blocks += [(tag, a + start, b + start, c + start, d + start) for tag, a, b, c, d in found]
    if end:
        blocks.append(("equal", len(old) - end, len(old), len(new) - end, len(new)))
    return tuple(_lines(old, new, blocks))


class _TooCostly(Exception):
    pass


class _Matcher(SequenceMatcher[str]):
    """A matcher that stops at its budget, because difflib takes cubic time for repeated lines."""

    def __init__(self, old: Sequence[str], new: Sequence[str], budget: LineBudget) -> None:
        super().__init__(None, old, new, autojunk=False)
        self._costs = list(map(Counter(new).__getitem__, old))
        self._budget = budget

    def find_longest_match(self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None) -> Match:
        self._budget.steps -= sum(self._costs[alo:ahi]) + len(self._costs[alo:ahi])
        if self._budget.steps < 0:
            raise _TooCostly
        return super().find_longest_match(alo, ahi, blo, bhi)


def common_start(old: Sequence[str], new: Sequence[str]) -> int:
    """The number of equal items at the beginning of both."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((index for index, (one, other) in pairs if one != other), min(len(old), len(new)))


def _lines(old: Sequence[str], new: Sequence[str], blocks: Sequence[tuple[str, int, int, int, int]]) -> Iterator[Line]:
    for place, (tag, start, end, new_start, new_end) in enumerate(blocks):
        if tag != "equal":
            yield from (Line("-", old[index], index + 1, None) for index in range(start, end))
            yield from (Line("+", new[index], None, index + 1) for index in range(new_start, new_end))
            continue
        head = _CONTEXT if place else 0
        tail = _CONTEXT if place < len(blocks) - 1 else 0
        hidden = end - start - head - tail
        for index in range(start, end):
            offset = index - start
            if hidden > 1 and head <= offset < head + hidden:
                if offset == head:
                    yield Line("…", f"{hidden} equal lines", None, None)
                continue
            yield Line(" ", old[index], index + 1, new_start + offset + 1)
