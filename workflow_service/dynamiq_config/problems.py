"""Collects the problems of a flow, and the values that an export omits, by path."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from service_kit.paths import Path
from service_kit.paths import shown as shown_path

Severity: TypeAlias = Literal["error", "warning"]

MAX_NODES = 10_000
MAX_VALUES = 200_000
"""Maximum keys, scalars, lists and objects of a flow or a config. Larger ones are not checked, exported or imported."""
MAX_PROBLEMS = 200  # maximum per severity, for example for a flow of 100,000 broken nodes
MAX_SHOWN = 80  # maximum characters of a name in a sentence


@dataclass(frozen=True, slots=True)
class Problem:
    """`path` is for example `flow.nodes[2].depends`. An error means that the SDK cannot load the flow; a warning is
    only reported."""

    path: str
    message: str
    severity: Severity
    about_secret: bool = False


class Problems:
    """The problems found so far. They contain no value, because a value could be secret."""

    def __init__(self, root: str = "flow") -> None:
        self._root = root
        self._secrets: dict[str, Problem] = {}
        self._found: dict[Severity, list[Problem]] = {"error": [], "warning": []}
        self._more: dict[Severity, int] = {"error": 0, "warning": 0}

    def error(self, path: Path, message: str) -> None:
        self._add(path, message, "error")

    def warn(self, path: Path, message: str) -> None:
        self._add(path, message, "warning")

    def warn_of_secret(self, path: Path, message: str) -> None:
        """Add a warning about a secret, at most one per path. These come before other warnings."""
        where = shown_path(path)
        if len(self._secrets) < MAX_PROBLEMS:
            self._secrets.setdefault(where, Problem(where, message, "warning", about_secret=True))
        else:
            self._more["warning"] += where not in self._secrets

    @property
    def found(self) -> list[Problem]:
        """Errors, then warnings. If there are more than MAX_PROBLEMS of a severity, the last one says how many more."""
        return [
            problem
            for severity, found in self._found.items()
            for problem in (
                *self._of_secrets(severity),
                *found,
                *_number_of_more(self._root, self._more[severity], severity),
            )
        ]

    def _of_secrets(self, severity: Severity) -> Iterable[Problem]:
        return self._secrets.values() if severity == "warning" else ()

    def _add(self, path: Path, message: str, severity: Severity) -> None:
        if len(self._found[severity]) < MAX_PROBLEMS:
            self._found[severity].append(Problem(shown_path(path), message, severity))
        else:
            self._more[severity] += 1


def _number_of_more(path: str, count: int, severity: Severity) -> list[Problem]:
    return [Problem(path, f"has {count:,} more {severity}s", severity)] if count else []


def shown(name: str) -> str:
    """The name for use in a sentence."""
    return repr(name if len(name) <= MAX_SHOWN else f"{name[:MAX_SHOWN]}…")
