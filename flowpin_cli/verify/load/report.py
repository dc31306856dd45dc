"""The report of a run: figures, checks, and the smallest evidence of each violation."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console

from flowpin_cli.verify.load.at_rest import AT_REST
from flowpin_cli.verify.load.calls import Call
from flowpin_cli.verify.load.history import CHECKS, OF_APPS
from flowpin_cli.verify.load.operations import Violation

MOST_SHOWN = 3
"""Maximum violations of one check in the report. The rest are counted."""
NO_APPS = "Apps were not called: no runtime is installed that they could run in (FLOWPIN_RUNTIMES)."
RECOVERY = "recovery"
"""The name of the check that the installation becomes healthy again after the load."""


@dataclass
class Report:
    """The report of a run. `faults` counts those caused; `left_out` says why others were not."""

    seconds: float
    seed: int
    history: str
    calls: Sequence[Call]
    violations: Sequence[Violation]
    faults: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, str] = field(default_factory=dict)
    healthy_after: float | None = None
    """Seconds from the end of the load until reads, saves and deploys were answered again."""
    looked_at_rest: bool = False
    """Whether the checks of `flowpin verify` were run. This requires the run's own installation."""
    called_apps: bool = False
    """Whether apps run in the installation and were called."""

    def figures(self) -> dict[str, dict[str, Any]]:
        """By face and kind: the number of calls by outcome, and p50 and p99 of answered calls in milliseconds."""
        kinds: dict[str, list[Call]] = {}
        for call in self.calls:
            kinds.setdefault(f"{call.face} {call.kind}", []).append(call)
        return {kind: _figures(calls) for kind, calls in sorted(kinds.items())}

    def by_check(self) -> dict[str, list[Violation]]:
        checks = [name for name in CHECKS if self.called_apps or name not in OF_APPS]
        names = (*checks, RECOVERY, *((AT_REST,) if self.looked_at_rest else ()))
        return {name: [each for each in self.violations if each.check == name] for name in names}

    def refusals(self) -> Counter[str]:
        """The codes of calls that were not answered."""
        return Counter(call.code for call in self.calls if not call.is_answered)


def _figures(calls: Sequence[Call]) -> dict[str, Any]:
    outcomes = Counter(call.outcome for call in calls)
    took = sorted(1000 * (call.end - call.begin) for call in calls if call.is_answered)
    return {
        **{name: outcomes[name] for name in ("answered", "refused", "unknown")},
        "p50_ms": round(took[len(took) // 2], 1) if took else None,
        "p99_ms": round(took[len(took) * 99 // 100], 1) if took else None,
    }


def print_json(report: Report, console: Console) -> None:
    by_check = report.by_check()
    console.print_json(
        json.dumps(
            {
                "seconds": report.seconds,
                "seed": report.seed,
                "history": report.history,
                "calls": report.figures(),
                "not_answered": report.refusals(),
                "called_apps": report.called_apps,
                "faults": report.faults,
                "faults_left_out": report.left_out,
                "healthy_after_seconds": report.healthy_after,
                "checks": {name: len(found) for name, found in by_check.items()},
                "violations": [
                    {"check": each.check, "says": each.says, "piece": [asdict(piece) for piece in each.piece]}
                    for found in by_check.values()
                    for each in found[:MOST_SHOWN]
                ],
            }
        )
    )


def print_text(report: Report, console: Console) -> None:
    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    say(f"{'':18}{'answered':>9}{'refused':>9}{'unknown':>9}{'p50 ms':>9}{'p99 ms':>9}")
    for kind, row in report.figures().items():
        say(f"{kind:18}" + "".join(f"{'-' if value is None else value:>9}" for value in row.values()))
    if report.refusals():
        say("Not answered: " + ", ".join(f"{code} {count}" for code, count in report.refusals().most_common()))
    if report.faults:
        say("Faults made: " + ", ".join(f"{name} {count}" for name, count in sorted(report.faults.items())))
    for name, reason in report.left_out.items():
        say(f"Left out: {name}: {reason}")
    if not report.called_apps:
        say(NO_APPS)
    if report.healthy_after is not None:
        say(f"Healthy {report.healthy_after:.1f} s after the load.")
    for name, found in report.by_check().items():
        say(f"{'✗' if found else '✓'} {name}" + (f": {len(found)} violations" if found else ""))
        for violation in found[:MOST_SHOWN]:
            say(f"  {violation.says}")
            for piece in violation.piece:
                say(f"    {piece}")
    say(f"The history is in {report.history} (seed {report.seed}).")
