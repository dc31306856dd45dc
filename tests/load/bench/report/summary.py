"""The number of targets met, and the names of the rows that missed theirs."""

from collections.abc import Sequence

from tests.load.bench.result import AS_STRIPPED, Row

FAILURES = {"missed": "missed", AS_STRIPPED: "missed as the stripped programs miss it", "not measured": "not measured"}
"""The words for each verdict except "passed"."""


def summary(rows: Sequence[Row]) -> str:
    judged = [row for row in rows if row.verdict]
    parts = [f"{sum(row.verdict == 'passed' for row in judged)} of {len(judged)} rows passed"]
    for verdict, said in FAILURES.items():
        names = [row.name for row in judged if row.verdict == verdict]
        parts.append(f"{len(names)} {said}" + (f" ({', '.join(names)})" if names else ""))
    return ", ".join(parts)
