"""What callers see in the first seconds after a restart of one process."""

import os
import signal
from collections import Counter
from collections.abc import Sequence
from functools import partial

from tests.load.bench.context import Bench
from tests.load.bench.open_loop import Call, Event, statuses
from tests.load.bench.percentile import percentiles
from tests.load.bench.result import Load, Row, Target
from tests.load.bench.rows.mix import mixed
from tests.load.bench.seeds import Seeds

BEFORE_SECONDS = 2.0
SHARE = 0.5
"""Share of the highest rate, used as the usual rate."""
TENTH = 0.1
USUAL_SHARE = 0.95
USUAL_MS = 1000.0
BACK_SECONDS = 5.0
PROCESSES = ("workflow", "deploy", "gateway")


def restarts(bench: Bench, seeds: Seeds) -> list[Row]:
    """Ask each process to end. It drains, and `flowpin up` starts it again while the mix of calls continues."""
    requests, seconds = mixed(bench, seeds), bench.seconds(10, 6)
    rate = SHARE * bench.peak(requests)
    rows = []
    for process in PROCESSES:
        end = partial(os.kill, bench.stack.pids[process], signal.SIGTERM)
        calls = bench.open_loop(requests, rate, BEFORE_SECONDS + seconds, Event(BEFORE_SECONDS, end))
        bench.stack.find_processes()
        rows += judged(process, [call for call in calls if call.due_s >= BEFORE_SECONDS], rate, seconds)
        bench.settle()
    return rows


def judged(process: str, calls: Sequence[Call], rate: float, seconds: float) -> list[Row]:
    name = f"Restart of the {process}" + ("" if process == "gateway" else " service")
    answered = [call.took_ms for call in calls if call.is_success]
    failed = len(calls) - len(answered)
    p50, p99 = percentiles(answered, 50, 99)
    note = (
        f"in the first {seconds:.0f} s at {rate:,.0f}/s of the mix ({100 * SHARE:.0f} % of what it keeps up with): "
        f"{failed:,} of {len(calls):,} calls failed; by status: {statuses(calls)}"
    )
    load = Load(len(answered) / seconds, p50, p99, len(calls), failed)
    return [
        Row(f"{name}: failed", load, rate, 100 * failed / len(calls), "%", note=note),
        Row(f"{name}: p99", value=p99, unit="ms", note="of the answered calls, each from its due time"),
        Row(
            f"{name}: usual again",
            value=usual_after(calls, BEFORE_SECONDS),
            target=Target.at_most(BACK_SECONDS, "s"),
            note=f"until {100 * USUAL_SHARE:.0f} % of the calls of each tenth of a second are a success within "
            f"{USUAL_MS / 1000:.0f} s",
        ),
    ]


def usual_after(calls: Sequence[Call], began_s: float) -> float:
    """Seconds from `began_s` to the end of the last tenth of a second with too many failed or slow calls."""
    due: Counter[int] = Counter()
    usual: Counter[int] = Counter()
    for call in calls:
        tenth = int((call.due_s - began_s) / TENTH)
        due[tenth] += 1
        usual[tenth] += call.is_success and call.took_ms <= USUAL_MS
    return max((TENTH * (tenth + 1) for tenth in due if usual[tenth] < USUAL_SHARE * due[tenth]), default=0.0)
