"""A start on existing data, and the memory of the processes after it and after much work."""

from collections.abc import Mapping

from tests.load.bench import processes
from tests.load.bench.context import Bench
from tests.load.bench.request import Request, post
from tests.load.bench.result import Row, Target
from tests.load.bench.seeds import Seeds

REQUESTS = 500_000
STEP_SECONDS = 5.0
IDLE_MB, WORKED_MB, GROWTH_MB = 95.0, 150.0, 5.0


def start(bench: Bench, seeds: Seeds) -> list[Row]:
    """The stack was restarted for this row, on the data of all earlier rows."""
    return [
        Row(
            "Start",
            value=bench.stack.start_seconds,
            target=Target.at_most(3, "s"),
            note="`flowpin up` on existing data until it reports that it is ready",
        )
    ]


def memory(bench: Bench, seeds: Seeds) -> list[Row]:
    """Resident memory after the start, and its growth over half a million mixed requests."""
    idle = _resident(bench)
    mixed = [
        *[Request(path) for path in seeds.read.version_paths],
        *[Request(f"{seeds.read.path}/versions?page={page}") for page in range(1, 5)],
        *[post(f"{history.path}/save", bench.content.body) for history in seeds.spread[:20]],
        Request(f"/v1/apps/{seeds.app(seeds.read)}"),
    ]
    samples: list[tuple[int, dict[str, float]]] = []
    done = 0
    wanted, limit = REQUESTS if not bench.quick else 0, 1000
    step = bench.seconds(STEP_SECONDS, 1)
    while (done < wanted and len(samples) < limit) or len(samples) < 4:
        done += bench.rest(mixed, step).count
        samples.append((done, _resident(bench)))
    last = samples[-1][1]
    half = next(found for count, found in samples if count >= done / 2)
    growth = {name: last[name] - half[name] for name in last}
    note = f"after {done:,} mixed requests (reads, pages, saves)" + (
        "; 500,000 when it is not --quick" if bench.quick else ""
    )
    raw: Mapping[str, object] = {"idle_mb": idle, "samples_mb": samples}
    return [
        _largest("Memory, idle", idle, IDLE_MB, "right after the start", raw),
        _largest("Memory, worked", last, WORKED_MB, note, raw),
        _largest(
            "Memory, second half", growth, GROWTH_MB, f"growth, at most the noise of {GROWTH_MB:g} MB; {note}", raw
        ),
    ]


def _resident(bench: Bench) -> dict[str, float]:
    return {name: processes.rss_mb(pid) for name, pid in bench.stack.python_pids.items()}


def _largest(name: str, found: dict[str, float], bound: float, note: str, raw: Mapping[str, object]) -> Row:
    worst = max(found, key=lambda process: found[process])
    return Row(
        name, value=found[worst], target=Target.at_most(bound, "MB"), note=f"{note}; the largest: {worst}", raw=raw
    )
