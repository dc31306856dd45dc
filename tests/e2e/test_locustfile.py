"""The Locust scenario runs without a failure. Locust is optional: `LOCUST=…/bin/locust pytest …` runs this."""

import csv
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.up_process import Up

LOCUST = os.environ.get("LOCUST") or shutil.which("locust")
SCENARIO = ROOT / "tests" / "load" / "locustfile.py"

pytestmark = [
    pytest.mark.load,
    pytest.mark.skipif(LOCUST is None, reason="locust is missing: pip install locust, in a separate venv"),
]


def locust(env: dict[str, str], folder: Path, *words: str) -> tuple[int, list[dict[str, str]], list[dict[str, str]]]:
    """A run's exit code, its rows by route, and its failures."""
    command = [LOCUST, "-f", str(SCENARIO), "--headless", "--csv", str(folder / "run"), *words]
    done = subprocess.run(command, env=os.environ | env, cwd=folder, capture_output=True, text=True)
    files = (folder / f"run_{name}.csv" for name in ("stats", "failures"))
    return done.returncode, *([*csv.DictReader(file.open())] if file.exists() else [] for file in files)


def test_every_call_of_the_locust_scenario_succeeds(tmp_path):
    up = Up(tmp_path / "data").start().ready()
    try:
        code, rows, failures = locust(up.env, tmp_path, "-u", "5", "-r", "5", "-t", "8s")
        refused = locust(up.env | {"FLOWPIN_TOKEN": "dyn_pat_wrong"}, tmp_path, "-u", "1", "-t", "4s")
    finally:
        up.end()

    called = {(row["Type"], row["Name"]) for row in rows}
    assert (code, failures) == (0, [])
    assert {("POST", "/v1/workflows/{id}/save"), ("GET", "/v1/apps/{id}"), ("POST", "/v1/apps/{id}/deploy")} <= called
    assert {row["Error"] for row in refused[2]} == {"CatchResponseError('401 unauthorized TOKEN_INVALID')"}


def test_locust_without_the_environment_says_what_to_source(tmp_path):
    command = [LOCUST, "-f", str(SCENARIO), "--headless", "-t", "1s"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FLOWPIN_")}

    done = subprocess.run(command, env=clean, cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode != 0
    assert "source DIR/env" in done.stderr + done.stdout
