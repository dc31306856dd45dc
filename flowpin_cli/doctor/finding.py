"""A finding: the subject of a check, its state, and what to do."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """The state of a finding. Only a problem prevents something from working."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    UNCHECKED = "unchecked"

    @property
    def mark(self) -> str:
        return {"ok": "✓", "warning": "!", "problem": "✗", "unchecked": "-"}[self.value]

    @property
    def style(self) -> str:
        return {"ok": "green", "warning": "yellow", "problem": "red", "unchecked": "dim"}[self.value]


@dataclass(frozen=True)
class Finding:
    """A sentence, and what to do unless all is well."""

    state: State
    what: str
    do: str = ""


def ok(what: str) -> Finding:
    return Finding(State.OK, what)


def warning(what: str, do: str) -> Finding:
    return Finding(State.WARNING, what, do)


def problem(what: str, do: str) -> Finding:
    return Finding(State.PROBLEM, what, do)


def unchecked(what: str, do: str) -> Finding:
    return Finding(State.UNCHECKED, what, do)
