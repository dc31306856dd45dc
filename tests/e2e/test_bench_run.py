"""The bench measures its rows, writes its reports, and leaves no process running."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.load,
    pytest.mark.skipif(not shutil.which("h2load"), reason="h2load is missing: apt install nghttp2-client"),
    pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is missing: apt install wrk"),
]


def measured(out: Path, *rows: str) -> dict[str, Any]:
    """Run the bench quickly for these groups. Returns the rows by name, and checks that all were measured."""
    words = ["--quick", "--rows", ",".join(rows), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.load.bench", *words], capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = {row["name"]: row for row in json.loads((out / "bench.json").read_text())["rows"]}
    assert [name for name, row in found.items() if row["problem"]] == []
    return found


def test_a_quick_bench_run_measures_all_its_rows(tmp_path: Path):
    rows = measured(tmp_path, "grpc-read", "rest-read", "save-one", "large", "overload-grpc")

    assert {"gRPC read", "REST read", "Save, one workflow", "Overload, gRPC reads: answered"} <= rows.keys()
    assert {"CPU: gRPC read", "CPU: REST read"} <= rows.keys()
    assert rows["Large graph, memory"]["verdict"] == "passed"  # does not depend on the machine's speed
    loads = {name: row["load"] for name, row in rows.items() if row["load"]}
    assert all(load["rate"] > (1 if "Large" in name else 100) for name, load in loads.items())
    assert "REST read" in (tmp_path / "bench.md").read_text()
    assert (tmp_path / "bench.svg").read_text().startswith("<svg")


def test_the_bench_measures_the_mix_restarts_and_storage(tmp_path: Path):
    rows = measured(tmp_path, "deploy-cpu", "mix", "storage", "process-restart")

    # None of these depends on the machine's speed.
    assert rows["Mix, open loop: failed"]["value"] == 0
    assert rows["A million versions: tables and indexes"]["verdict"] == "passed"
    assert rows["A million versions: log"]["verdict"] == "passed"
    for process in ("workflow service", "deploy service", "gateway"):
        assert 0 < rows[f"Restart of the {process}: failed"]["value"] < 100
    assert {"CPU: deploy", "A million versions: backup", "A million versions: restore"} <= rows.keys()
