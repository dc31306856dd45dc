"""bench.json, bench.md and bench.svg."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import Any

from tests.load.bench.machine import Machine, sentence
from tests.load.bench.report.markdown import markdown
from tests.load.bench.report.picture import svg
from tests.load.bench.result import Row


def write(folder: Path, rows: Sequence[Row], machine: Machine, *, quick: bool, seconds: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(as_json(rows, machine, quick=quick, seconds=seconds))
    (folder / "bench.md").write_text(markdown(rows, sentence(machine), quick=quick))
    (folder / "bench.svg").write_text(svg(rows))


def as_json(rows: Sequence[Row], machine: Machine, *, quick: bool, seconds: float) -> str:
    found = [{**asdict(row), "verdict": row.verdict} for row in rows]
    document = {"machine": machine, "quick": quick, "seconds": round(seconds, 1), "rows": found}
    return json.dumps(_finite(document), indent=1, ensure_ascii=False, default=str) + "\n"


def _finite(value: Any) -> Any:
    """JSON knows no NaN: a percentile of nothing is null."""
    if isinstance(value, float):
        return None if isnan(value) else round(value, 4)
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
