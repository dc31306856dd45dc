"""bench.json, bench.md and bench.svg."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from math import isnan
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tests.load.bench.machine import Machine, sentence
from tests.load.bench.report.markdown import markdown
from tests.load.bench.report.picture import svg
from tests.load.bench.result import Row


def write(folder: Path, rows: Sequence[Row], machine: Machine, *, quick: bool, seconds: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(as_json(rows, machine, quick=quick, seconds=seconds))
    (folder / "bench.md").write_text(markdown(rows, sentence(machine), quick=quick))
    (folder / "bench.svg").write_text(svg(rows))


def among_earlier(folder: Path, rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Write the files. A run of some groups (`names`) replaces only their rows in the folder's files."""
    earlier = folder / "bench.json"
    if not names or not earlier.exists():
        return list(rows)
    found = json.loads(earlier.read_text())["rows"]
    for row in found:
        del row["verdict"]
    kept = TypeAdapter(list[Row]).validate_python(found)
    again = {row.name: replace(row, note=f"{row.note}; measured again, by itself".lstrip("; ")) for row in rows}
    known = {row.name for row in kept}
    return [
        *(again.get(row.name, row) for row in kept if not row.problem),
        *(row for name, row in again.items() if name not in known),
    ]


def as_json(rows: Sequence[Row], machine: Machine, *, quick: bool, seconds: float) -> str:
    found = [{**asdict(row), "verdict": row.verdict} for row in rows]
    document = {"machine": machine, "quick": quick, "seconds": round(seconds, 1), "rows": found}
    return json.dumps(_finite(document), indent=1, ensure_ascii=False, default=str) + "\n"


def _finite(value: Any) -> Any:
    """JSON has no NaN, so a percentile without values is null."""
    if isinstance(value, float):
        return None if isnan(value) else round(value, 4)
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
