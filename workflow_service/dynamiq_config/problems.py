"""Problems of a flow, and what an export omits, by path."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from service_kit.paths import Path
from service_kit.paths import shown as shown_path

Severity: TypeAlias = Literal["error", "warning"]

MAX_NODES = 10_000
MAX_VALUES = 200_000
"""Keys, scalars, lists and objects of a flow or a config; what holds more is not checked, exported or imported."""
MAX_PROBLEMS = 200  # maximum per severity, for example for a flow of 100,000 broken nodes
MAX_SHOWN = 80  # characters of a name in a sentence


@dataclass(frozen=True, slots=True)
class Problem:
    """`path` is such as `flow.nodes[2].depends`; an error is what the SDK cannot load, a warning is only reported."""

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
        """A warning that comes before others, once for each path."""
        where = shown_path(path)
        if len(self._secrets) < MAX_PROBLEMS:
            self._secrets.setdefault(where, Problem(where, message, "warning", about_secret=True))
        else:
            self._more["warning"] += where not in self._secrets

    @property
    def found(self) -> list[Problem]:
        """Errors, then warnings; how many more there are than MAX_PROBLEMS of a kind is the last of its kind."""
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
    """A name as a sentence shows it."""
    return repr(name if len(name) <= MAX_SHOWN else f"{name[:MAX_SHOWN]}…")
