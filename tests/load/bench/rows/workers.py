"""Reads and saves with several `flowpin up --workers`, each number in its own data folder."""

import os
from collections.abc import Sequence

from tests.load.bench import wrk
from tests.load.bench.context import Bench
from tests.load.bench.request import Request, post
from tests.load.bench.result import Load, Row
from tests.load.bench.seeds import Seeds
from tests.load.bench.stack import running

COUNTS = (1, 2, 4, 8)


def workers(bench: Bench, seeds: Seeds) -> list[Row]:
    """For each number of workers with enough cores: the rate in percent of that with one."""
    cores = len(os.sched_getaffinity(0))
    alone: dict[str, float] = {}
    rows = []
    for count in COUNTS:
        if count > cores:
            note = f"not measured: there are {cores} cores, and workers beyond them only wait for each other"
            rows += [Row(_name(what, count), note=note) for what in ("read", "save")]
            continue
        for what, load in _driven(bench, count).items():
            ceiling = alone.setdefault(what, load.rate)
            note = f"{wrk.CONNECTIONS * count} callers, against one of each in the same run"
            rows.append(Row(_name(what, count), load, ceiling, 100 * load.rate / ceiling, "%", note=note))
    return rows


def _driven(bench: Bench, count: int) -> dict[str, Load]:
    with running(bench.scratch / f"workers-{count}", workers=count) as stack:
        here = bench.on(stack)
        seeds = Seeds(here)
        reads = [Request(path) for path in seeds.read.version_paths]
        saves = [post(f"{history.path}/save", bench.content.body) for history in seeds.spread]
        return {"read": _drive(here, reads, count), "save": _drive(here, saves, count)}


def _drive(bench: Bench, requests: Sequence[Request], count: int) -> Load:
    """The loads, without the CPU per call, which is measured only for one process of each kind."""
    seconds, connections = bench.seconds(5, 1), wrk.CONNECTIONS * count
    return wrk.drive(bench.stack.url, requests, bench.stack.headers, seconds, bench.scratch, connections)


def _name(what: str, count: int) -> str:
    return f"REST {what}, {count} worker{'s' if count > 1 else ''}"
