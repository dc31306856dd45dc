"""Groups calls. A write with its repetitions is an operation, and a number that was seen at some moment is a point."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from flowpin_cli.verify.load.calls import Call, Outcome
from flowpin_cli.verify.load.kept import KeptDeployment, KeptVersion

Piece: TypeAlias = Call | KeptVersion | KeptDeployment


@dataclass(frozen=True)
class Violation:
    """A broken promise, and the few calls and rows that contradict each other."""

    check: str
    says: str
    piece: tuple[Piece, ...]


@dataclass(frozen=True)
class Operation:
    """One write: its calls, with the same key if there are several."""

    calls: tuple[Call, ...]

    @property
    def name(self) -> str:
        return self.calls[0].operation

    @property
    def begin(self) -> float:
        return self.calls[0].begin

    @property
    def end(self) -> float:
        """The time of the first answer. Infinite without one, as it may take effect at any time."""
        return min((call.end for call in self.answers), default=math.inf)

    @property
    def answers(self) -> list[Call]:
        return [call for call in self.calls if call.is_answered]

    @property
    def outcome(self) -> Outcome:
        """Whether every call was refused. A call of unknown outcome may have taken effect."""
        if self.answers:
            return "answered"
        return "unknown" if any(call.outcome == "unknown" for call in self.calls) else "refused"

    @property
    def call(self) -> Call:
        """The call that represents the operation: the first answered one, or else the last one."""
        return self.answers[0] if self.answers else self.calls[-1]


def operations(calls: Iterable[Call], *kinds: str) -> list[Operation]:
    """Group calls by operation, in the order of their start."""
    found: dict[str, list[Call]] = {}
    for call in sorted(calls, key=lambda call: call.begin):
        if call.kind in kinds:
            found.setdefault(call.operation, []).append(call)
    return [Operation(tuple(each)) for each in found.values()]


@dataclass(frozen=True)
class Point:
    """A number that was true at some moment from `begin` to `end`: that of a version, or an index in an app's
    history."""

    number: int
    begin: float
    end: float
    call: Call


def went_back(earlier: Iterable[Point], later: Iterable[Point], *, or_stayed: bool) -> Iterator[tuple[Point, Point]]:
    """Pairs in which the first point ended before the second began, but has a larger number (or, with `or_stayed`, an
    equal one)."""
    ended = sorted(earlier, key=lambda point: point.end)
    largest: Point | None = None
    place = 0
    for point in sorted(later, key=lambda point: point.begin):
        while place < len(ended) and ended[place].end < point.begin:
            if largest is None or ended[place].number > largest.number:
                largest = ended[place]
            place += 1
        if largest is not None and largest.number >= point.number + (0 if or_stayed else 1):
            yield largest, point


def points(of: Sequence[tuple[Operation, int]]) -> list[Point]:
    return [Point(number, operation.begin, operation.end, operation.call) for operation, number in of]
