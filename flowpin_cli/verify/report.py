"""The report of the checks: for people, for programs, and in one line."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console

from flowpin_cli.machine.processes import printable
from flowpin_cli.terminal import counted
from flowpin_cli.verify.check import Finding
from flowpin_cli.verify.run import Report, Result

_LAST = ("what", "expected", "found")
_FIGURES = {
    "workflows": ["workflows.counters"],
    "versions": ["versions.digests"],
    "deployments": ["deployments.pins"],
    "events": ["audit.workflow-numbers", "audit.deploy-numbers"],
}
"""The totals of a run, and the checks that counted them."""
MAX_TEXT = 200
"""Maximum characters of one value, because callers choose names and keys."""


def print_report(report: Report, console: Console) -> None:
    lines = [f"As of {', '.join(f'{moment:%Y-%m-%d %H:%M:%S}Z ({name})' for name, moment in report.moments.items())}:"]
    for result in report.results:
        lines += _lines(result)
    lines += ["", summary(report)]
    _print(lines, console)


def summary(report: Report) -> str:
    """The result in one line."""
    checked = {result.check.name: result.outcome.checked for result in report.results}
    figures = ", ".join(f"{sum(checked[name] for name in names):,} {what}" for what, names in _FIGURES.items())
    failed = [result for result in report.results if result.outcome.found]
    said = f"{len(report.results)} checks in {report.seconds:.1f} s ({figures}): "
    if not failed:
        return said + "nothing is wrong."
    names = ", ".join(result.check.name for result in failed)
    return said + f"{counted(report.found, 'finding')}, in {names}."


def print_json(report: Report, console: Console) -> None:
    content = {
        "moments": {name: moment.isoformat() for name, moment in report.moments.items()},
        "seconds": round(report.seconds, 3),
        "findings": report.found,
        "checks": [_as_json(result) for result in report.results],
    }
    _print([json.dumps(content, indent=1)], console)


def piece_of(finding: Mapping[str, str | int]) -> str:
    """The item that a finding is about, in words."""
    pairs = (f"{name.replace('_', ' ')} {_short(value)}" for name, value in finding.items() if name not in _LAST)
    return ", ".join(pairs)


def _lines(result: Result) -> Iterable[str]:
    check, outcome = result.check, result.outcome
    mark = "✗" if outcome.found else "✓"
    yield f"  {mark} {check.name:<24} {outcome.checked:>11,} {check.pieces}, {result.seconds:.2f} s"
    if not outcome.found:
        return
    yield f"      {check.promise}"
    for finding in outcome.findings:
        yield f"      - {sentence(finding)}"
    if outcome.found > len(outcome.findings):
        yield f"      - and {outcome.found - len(outcome.findings):,} more"


def sentence(finding: Finding) -> str:
    """The item, what is wrong, and the expected and found values."""
    said = f"{piece_of(finding)}: {_short(finding['what'])}"
    if "expected" in finding or "found" in finding:
        pairs = (f"{name} {_short(finding[name])}" for name in ("expected", "found") if name in finding)
        said += f" ({', '.join(pairs)})"
    return said


def _short(value: str | int) -> str:
    text = printable(str(value))
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def _as_json(result: Result) -> dict[str, Any]:
    return {
        "check": result.check.name,
        "promise": result.check.promise,
        "pieces": result.check.pieces,
        "checked": result.outcome.checked,
        "seconds": round(result.seconds, 3),
        "found": result.outcome.found,
        "findings": result.outcome.findings,
    }


def _print(lines: Iterable[str], console: Console) -> None:
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
