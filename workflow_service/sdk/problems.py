"""What is wrong with a flow, or left out of it, by the path of where it is."""

from dataclasses import dataclass
from typing import Any, Literal

MAX_NODES = 10_000
MAX_VALUES = 200_000
"""Keys, scalars, lists and objects of a flow or a config; what holds more is not checked, exported or imported."""
MAX_PROBLEMS = 200  # of each severity; a flow of 100,000 broken nodes is told about these
MAX_SHOWN = 80  # characters of a name in a sentence


@dataclass(frozen=True, slots=True)
class Problem:
    """`path` is such as `flow.nodes[2].depends`; an error is what the SDK cannot load, a warning is only reported."""

    path: str
    message: str
    severity: Literal["error", "warning"]


class Problems:
    """What was found so far, never with a value in it that could be a secret."""

    def __init__(self) -> None:
        self.found: list[Problem] = []
        self._count = {"error": 0, "warning": 0}

    def error(self, path: str, message: str) -> None:
        self._add(Problem(path, message, "error"))

    def warn(self, path: str, message: str) -> None:
        self._add(Problem(path, message, "warning"))

    def _add(self, problem: Problem) -> None:
        self._count[problem.severity] += 1
        if self._count[problem.severity] <= MAX_PROBLEMS:
            self.found.append(problem)


def shown(name: str) -> str:
    """A name as a sentence shows it."""
    return repr(name if len(name) <= MAX_SHOWN else f"{name[:MAX_SHOWN]}…")


def is_too_large(value: Any) -> bool:
    """Whether a value of a flow holds more than MAX_VALUES."""
    count, left = 0, [value]
    while left and count <= MAX_VALUES:
        value = left.pop()
        if isinstance(value, dict):
            count += len(value)
            left += value.values()
        elif isinstance(value, list):
            left += value
        count += 1
    return count > MAX_VALUES
