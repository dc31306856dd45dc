"""The cost of a long history: the same calls on 100,000 versions and on 10, and pages of it."""

import json
from collections.abc import Sequence

from tests.load.bench.context import Bench
from tests.load.bench.percentile import percentiles
from tests.load.bench.request import Request, post
from tests.load.bench.result import TIMES, Load, Row, Target
from tests.load.bench.seeds import FEW, MANY, MILLION, History, Seeds

WITHIN = 125.0
PAGE_SIZE = 25
TIMES_FIRST = 3.0


def flat(bench: Bench, seeds: Seeds) -> list[Row]:
    """Make each call alternately on the short and the long history, and compare the medians."""
    return _compared(bench, seeds, "Flat", f"{MANY:,} versions")


def million(bench: Bench, seeds: Seeds) -> list[Row]:
    """The same with a million versions in the database. --quick leaves it out."""
    if bench.quick:
        return []
    seeds.fill()
    return _compared(bench, seeds, "Flat, 1 M", f"{MANY:,} versions, {MILLION:,} in the database")


def pages(bench: Bench, seeds: Seeds) -> list[Row]:
    """The first, middle and last page of 100,000 versions in both orders, with every tenth version archived."""
    base = f"{seeds.many.path}/versions?page_size={PAGE_SIZE}"
    with bench.caller() as caller:
        last = json.loads(caller.send(Request(base)))["pagination"]["page_count"]
    middle = last // 2
    wanted = {
        "first": base,
        "middle": f"{base}&page={middle}",
        "last": f"{base}&page={last}",
        "first, oldest first": f"{base}&sort=version",
        "middle, oldest first": f"{base}&sort=version&page={middle}",
        "last, oldest first": f"{base}&sort=version&page={last}",
    }
    loads = _in_turn(bench, [[Request(path)] for path in wanted.values()])
    found = dict(zip(wanted, loads, strict=True))
    first, worst = found["first"], max(found, key=lambda name: found[name].p50_ms)
    return [
        Row(
            "Any page",
            load=found[worst],
            ceiling=first.rate,
            value=found[worst].p50_ms / first.p50_ms,
            target=Target.at_most(TIMES_FIRST, TIMES),
            note=f"the slowest page of {MANY:,} ({worst}) against the first, at one caller, medians",
            raw={name: load.p50_ms for name, load in found.items()},
        )
    ]


def _compared(bench: Bench, seeds: Seeds, name: str, histories: str) -> list[Row]:
    few, many = (_calls(bench, seeds, history) for history in (seeds.few, seeds.many))
    rows = []
    for call in few:
        short, long = _in_turn(bench, [few[call], many[call]])
        rows.append(
            Row(
                f"{name}: {call}",
                load=long,
                ceiling=short.rate,
                value=100 * long.p50_ms / short.p50_ms,
                target=Target.at_most(WITHIN, "%"),
                note=f"median at one caller: {histories} against {FEW}",
                raw={"p50_ms": {"few": short.p50_ms, "many": long.p50_ms}},
            )
        )
    return rows


def _calls(bench: Bench, seeds: Seeds, history: History) -> dict[str, Sequence[Request]]:
    """The calls, saves last, because they make the short history longer."""
    deploy = b'{"workflow_id": "%s"}' % history.workflow_id.encode()
    return {
        "read": [Request(path) for path in history.version_paths],
        "latest": [Request(f"{history.path}/versions/latest")],
        "first page": [Request(f"{history.path}/versions?page_size={FEW - 1}")],
        "deploy": [post(f"/v1/apps/{seeds.app(history)}/deploy", deploy)],
        "save": [post(f"{history.path}/save", bench.content.body)],
    }


def _in_turn(bench: Bench, calls: Sequence[Sequence[Request]]) -> list[Load]:
    """Make one call of each in turn, so a disturbance affects all."""
    took: list[list[float]] = [[] for _ in calls]
    with bench.caller() as caller:
        for turn in range(-5, 500 if not bench.quick else 60):
            for times, requests in zip(took, calls, strict=True):
                ms = caller.timed(requests[turn % len(requests)])
                if turn >= 0:
                    times.append(ms)
    found = []
    for times in took:
        p50, p99 = percentiles(times, 50, 99)
        found.append(Load(1000 * len(times) / sum(times), p50, p99, len(times)))
    return found
