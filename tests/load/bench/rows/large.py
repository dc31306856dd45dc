"""A flow of five million bytes through the gateway: its time, memory, and effect on other callers."""

import time
from concurrent.futures import ThreadPoolExecutor

from tests.load.bench import processes
from tests.load.bench.caller import Caller
from tests.load.bench.context import Bench
from tests.load.bench.graphs import large_graph
from tests.load.bench.request import Request, post
from tests.load.bench.result import TIMES, Load, Row, Target
from tests.load.bench.seeds import Seeds
from tests.load.peers import stripped

FLOW_BYTES = 5_000_000
OTHERS = 8
"""Callers that read during large saves."""


def large(bench: Bench, seeds: Seeds) -> list[Row]:
    content = large_graph(FLOW_BYTES)
    megabytes = len(content.body) / 1e6
    save = post(f"{seeds.read.path}/save", content.body)
    pids = bench.stack.python_pids
    with bench.caller() as caller:
        resting = {name: processes.rss_mb(pid) for name, pid in pids.items()}
        for pid in pids.values():
            processes.forget_peak(pid)
        count = 20 if not bench.quick else 6
        saved = [caller.post(save.path, content.body)["id"] for _ in range(2)]
        read = Request(f"{seeds.read.path}/versions/{saved[0]}")
        came_in = bench.metered(lambda: caller.drive([save] * count, 60))
        went_out = bench.metered(lambda: caller.drive([read] * count, 60))
        grown = {name: processes.peak_rss_mb(pid) - resting[name] for name, pid in pids.items()}
        worst = max(grown, key=lambda name: grown[name])
        least = _least(bench, save, count)
        others = _others(bench, seeds, save)
    note = f"{megabytes:.1f} MB, one at a time at one caller, median"
    percent = 100 * least.p50_ms / came_in.p50_ms
    return [
        Row(
            "Large graph in",
            came_in,
            None,
            megabytes / came_in.p50_ms * 1000,
            target=Target.at_least(30, "MB/s"),
            note=f"{note}; minimal programs of aiohttp, grpc.aio and asyncpg that do only the unavoidable "
            f"(tests/load/peers/stripped.py) do {1000 * megabytes / least.p50_ms:.1f} MB/s; ours {percent:.0f} % of it",
            stripped=percent,
        ),
        Row(
            "Large graph out",
            went_out,
            None,
            megabytes / went_out.p50_ms * 1000,
            target=Target.at_least(60, "MB/s"),
            note=note,
        ),
        Row(
            "Large graph, memory",
            value=grown[worst] / megabytes,
            target=Target.at_most(8, TIMES),
            note=f"the largest growth of a Python process' peak memory ({worst}), relative to the body",
            raw={"resting_mb": resting, "grown_mb": grown},
        ),
        others,
    ]


def _least(bench: Bench, save: Request, count: int) -> Load:
    """The same through the stripped programs."""
    with stripped.everything(bench) as bare, Caller(bare.url, bench.stack.headers) as caller:
        caller.drive([save] * 2, 60)
        return caller.drive([save] * count, 60)


def _others(bench: Bench, seeds: Seeds, save: Request) -> Row:
    """Durations of reads during one large save a second."""
    seconds = bench.seconds(15, 2)
    reads = [Request(path) for path in seeds.read.version_paths]
    with ThreadPoolExecutor(1) as pool, bench.caller() as caller:
        alone = bench.rest(reads, seconds / 4, OTHERS)
        reading = pool.submit(bench.rest, reads, seconds, OTHERS)
        began, saves = time.monotonic(), 0
        while not reading.done():
            caller.send(save)
            saves += 1
            time.sleep(max(0.0, began + saves - time.monotonic()))
        load = reading.result()
    return Row(
        "Large graphs and others",
        load,
        alone.rate,
        load.p99_ms,
        target=Target.at_most(60, "ms"),
        note=f"p99 of {OTHERS} readers during one such save a second ({saves} did); {alone.p99_ms:.0f} ms without",
        raw={"p99_ms_alone": alone.p99_ms, "saves": saves},
    )
