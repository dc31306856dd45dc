"""How the bench's rows judge their measurements."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.load.bench.context import Comparison
from tests.load.bench.graphs import graph
from tests.load.bench.open_loop import ANSWER_SECONDS, Call
from tests.load.bench.result import TIMES, Load, Unmeasurable
from tests.load.bench.rows import GROUPS, LONG, cpu, mix, process_restart, storage, workers
from tests.load.bench.rows.storage import Used
from tests.load.bench.run import Plan
from tests.load.bench.seeds import History


def compared(ratio: float) -> Comparison:
    return Comparison(Load(1, 1, 1, 1, cpu_us={"gateway": 300}), Load(1, 1, 1, 1), 1, ratio, {})


@pytest.mark.parametrize("call", cpu.BUDGETS)
def test_the_cpu_of_a_call_has_a_budget_in_multiples_of_a_ping(call: str):
    within, over = (cpu.cpu_row(call, compared(cpu.BUDGETS[call] * share), "Ping") for share in (0.99, 1.01))

    assert (within.verdict, over.verdict) == ("passed", "missed")
    assert within.target is not None
    assert within.target.unit == TIMES


def test_a_call_without_a_cpu_figure_is_unmeasurable():
    with pytest.raises(Unmeasurable):
        cpu.cpu_row("deploy", compared(float("nan")), "Ping")


def test_the_bench_mix_is_80_percent_reads_15_percent_saves_and_5_percent_deploys():
    history = History("w", ["v1", "v2"])
    seeds = SimpleNamespace(read=history, spread=[history], apps=["a", "b"])

    requests = mix.mixed(cast(Any, SimpleNamespace(content=graph())), cast(Any, seeds))

    def share(end: str) -> float:
        return 100 * sum(request.path.endswith(end) for request in requests) / len(requests)

    assert (share("/save"), share("/deploy")) == (15, 5)
    assert (share("/v1") + share("/v2"), share("/a") + share("/b")) == (40, 40)


def calls(*spans: tuple[float, float, float, int]) -> list[Call]:
    """A hundred calls a second for each span: its start, end, milliseconds and status."""
    return [
        Call(number / 100, 0, took_ms, status)
        for began, ended, took_ms, status in spans
        for number in range(round(100 * began), round(100 * ended))
    ]


def test_failed_calls_count_in_the_percentile_of_the_bench_mix():
    fine, with_failures = calls((0, 10, 8, 200)), calls((0, 9.9, 8, 201), (9.9, 10, 1, 503))

    p999, failed = mix.judged(fine, 200, 10, "")
    assert (p999.value, p999.verdict, failed.verdict) == (8, "passed", "passed")

    p999, failed = mix.judged(with_failures, 200, 10, "")
    assert (p999.value, p999.verdict) == (1000 * ANSWER_SECONDS, "missed")
    assert (failed.value, failed.verdict) == (10, "missed")
    assert failed.note == "of 1,000 calls, by status: 201: 990, 503: 10"


@pytest.mark.parametrize(
    ("spans", "seconds"),
    [
        ([(2, 12, 8, 200)], 0),
        ([(2, 3.5, 1, 503), (3.5, 12, 8, 200)], 1.5),
        ([(2, 3.5, 1, 0), (3.5, 4, 1500, 200), (4, 12, 8, 200)], 2),
        ([(2, 3, 8, 200), (3, 3.2, 1, 503), (3.2, 12, 8, 200)], 1.2),
        ([(2, 12, 1, 503)], 10),
    ],
)
def test_a_restart_lasts_until_the_last_unusual_tenth_of_a_second(spans, seconds):
    assert process_restart.usual_after(calls(*spans), 2) == pytest.approx(seconds)


def test_the_rows_of_a_restart_say_how_many_calls_failed():
    failed, p99, usual = process_restart.judged("deploy", calls((2, 3, 1, 503), (3, 12, 8, 200)), 100, 10)

    assert failed.name == "Restart of the deploy service: failed"
    assert failed.value == pytest.approx(10)
    assert "100 of 1,000 calls failed; by status: 200: 900, 503: 100" in failed.note
    assert (p99.value, usual.value) == (8, pytest.approx(1))


def test_the_storage_rows_are_scaled_to_a_million_saves_and_say_so():
    before, after = Used(100, 1_000, 100, 10_000), Used(1_100, 8_001_000, 400_100, 9_010_000)

    tables, log = storage.per_million(before, after, content_bytes=7_000)

    assert (tables.value, log.value) == (pytest.approx(8.4), pytest.approx(9.0))
    assert "of 1,000 saves of 7,000 bytes, times 1000.0" in tables.note
    assert (tables.verdict, log.verdict) == ("passed", "passed")
    assert storage.per_million(before, after, content_bytes=6_000)[0].verdict == "missed"


def test_a_quick_run_measures_long_groups_only_when_they_are_named():
    def chosen(quick: bool, *names: str) -> set[str]:
        return set(Plan(quick, names, False, Path()).chosen(GROUPS))

    assert chosen(False) == set(GROUPS)
    assert chosen(True) == set(GROUPS) - set(LONG)
    assert chosen(True, "storage") == {"storage"}


def test_worker_counts_above_the_number_of_cores_are_skipped_with_a_reason(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(workers, "_driven", lambda bench, count: {"read": Load(100.0 * count, 1, 2, 10)})

    rows = {row.name: row for row in workers.workers(None, None)}

    assert [rows[f"REST read, {name}"].value for name in ("1 worker", "2 workers")] == [100, 200]
    assert rows["REST read, 8 workers"].note.startswith("not measured: there are 2 cores")
    assert {row.problem for row in rows.values()} == {""}
