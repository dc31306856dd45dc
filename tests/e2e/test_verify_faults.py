"""`flowpin verify --load` finds no violation in half an hour of every fault, and a seed repeats a run.

VERIFY_LOAD_TIME is the duration of each of the two runs. Default: a quarter of an hour.
"""

import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from flowpin_cli.verify.load.options import FAULTS
from tests.support.up_process import flowpin

pytestmark = pytest.mark.faults

LENGTH = os.environ.get("VERIFY_LOAD_TIME", "15m")
CALLS_A_MINUTE_AT_LEAST = 700


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_quarter_of_an_hour_of_every_fault_causes_no_violation(tmp_path: Path, workers: str):
    words = ["--load", LENGTH, "--fault", "all", "--workers", workers]

    ran = flowpin("verify", *words, "--history", str(tmp_path / "history.jsonl"), "--json")

    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-20_000:]
    report = json.loads(ran.stdout)
    assert set(report["faults"]) | set(report["faults_left_out"]) == set(FAULTS)
    assert sum(kind["answered"] for kind in report["calls"].values()) > CALLS_A_MINUTE_AT_LEAST * report["seconds"] / 60


def test_verify_load_with_the_same_seed_makes_the_same_calls_and_faults(tmp_path: Path):
    first, second = (history_of(tmp_path / name, "7") for name in ("first", "second"))
    other = history_of(tmp_path / "other", "8")

    assert alike(first, second)
    assert not alike(first, other)


def history_of(path: Path, seed: str) -> dict[str, list[Any]]:
    """The kinds of operations in order, by caller. The key `faults` has the faults in order."""
    words = ["--load", "15s", "--fault", "lock,freeze,reset", "--seed", seed, "--history", str(path)]
    ran = flowpin("verify", *words)
    assert ran.returncode == 0, ran.stdout[-5_000:] + ran.stderr[-5_000:]
    found: dict[str, list[Any]] = defaultdict(list)
    operations = set()
    for line in map(json.loads, path.read_text().splitlines()):
        if "fault" in line:
            found["faults"].append(line["fault"])
        elif "call" in line and (call := line["call"])["operation"] not in operations:
            operations.add(call["operation"])
            found[call["caller"]].append((call["kind"], call["face"], call["key"] is None))
    return found


def alike(first: dict[str, list[Any]], second: dict[str, list[Any]]) -> bool:
    """Compare the common part of both runs. Probes are left out, as they are repeated until one succeeds."""
    assert first.keys() == second.keys()
    names = first.keys() - {"probe"}
    lengths = {name: min(len(first[name]), len(second[name])) for name in names}
    assert min(lengths.values()) > 1
    return all(first[name][: lengths[name]] == second[name][: lengths[name]] for name in names)
