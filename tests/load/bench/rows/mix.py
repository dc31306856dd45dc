"""Reads, saves and deploys together below the highest rate, while Postgres writes a checkpoint."""

import random
import time
from collections.abc import Sequence

from tests.load.bench import database
from tests.load.bench.context import Bench
from tests.load.bench.open_loop import ANSWER_SECONDS, Call, Event, statuses
from tests.load.bench.percentile import percentiles
from tests.load.bench.request import Request, post
from tests.load.bench.result import Load, Row, Target
from tests.load.bench.rows.deploys import of_apps
from tests.load.bench.seeds import Seeds

READS, APP_READS, SAVES, DEPLOYS = 40, 40, 15, 5
"""Percent: reads of a version, of a live app, …"""
SHARE = 0.7
"""Share of the highest rate."""
P999_MS = 250.0


def mix(bench: Bench, seeds: Seeds) -> list[Row]:
    requests, seconds = mixed(bench, seeds), bench.seconds(60, 3)
    peak = bench.peak(requests)
    took: list[float] = []

    def checkpoint() -> None:
        began = time.monotonic()
        database.execute(bench.stack.admin_url, "CHECKPOINT")
        took.append(time.monotonic() - began)

    calls = bench.open_loop(requests, SHARE * peak, seconds, Event(seconds / 3, checkpoint))
    note = (
        f"{READS} % reads of versions, {APP_READS} % of live apps, {SAVES} % saves, {DEPLOYS} % deploys; "
        f"{SHARE * peak:,.0f}/s for {seconds:.0f} s ({100 * SHARE:.0f} % of what it keeps up with), with a CHECKPOINT "
        f"of {took[0]:.1f} s in it"
    )
    return judged(calls, peak, seconds, note)


def judged(calls: Sequence[Call], peak: float, seconds: float, note: str) -> list[Row]:
    """A failed call counts with the timeout of an answer."""
    failed = sum(not call.is_success for call in calls)
    waited = (call.took_ms if call.is_success else 1000 * ANSWER_SECONDS for call in calls)
    p50, p99, p999 = percentiles(waited, 50, 99, 99.9)
    late = percentiles((call.late_ms for call in calls), 99.9)[0]
    note += f"; each call timed from when it was due, 99.9 % of them were sent within {late:.0f} ms of that"
    load = Load((len(calls) - failed) / seconds, p50, p99, len(calls), failed)
    answered = f"of {len(calls):,} calls, by status: {statuses(calls)}"
    return [
        Row("Mix, open loop: p99.9", load, peak, p999, target=Target.at_most(P999_MS, "ms"), note=note),
        Row("Mix, open loop: failed", value=failed, target=Target.at_most(0, ""), note=answered),
    ]


def mixed(bench: Bench, seeds: Seeds) -> list[Request]:
    """Two thousand requests in a random order that is always the same."""
    reads = [Request(path) for path in seeds.read.version_paths]
    app_reads = [Request(f"/v1/apps/{app_id}") for app_id in seeds.apps]
    saves = [post(f"{history.path}/save", bench.content.body) for history in seeds.spread]
    kinds = ((reads, READS), (app_reads, APP_READS), (saves, SAVES), (of_apps(seeds), DEPLOYS))
    requests = [one[turn % len(one)] for one, percent in kinds for turn in range(20 * percent)]
    random.Random(1).shuffle(requests)
    return requests
