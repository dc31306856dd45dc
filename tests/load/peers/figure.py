"""Compares two drives in interleaved pairs as one Row, which says so if it could not be measured."""

from collections.abc import Sequence

from tests.load.bench.context import Bench, Drive
from tests.load.bench.result import TIMES, Load, Row, Target, Unmeasurable
from tests.load.peers.server import Server

CALLERS = 16
MIN_ANSWERS = CALLERS
"""Minimum number of answers in a drive. With fewer there is no rate."""
TWENTY_TIMES = Target.at_least(20, TIMES)
PROBLEMS = (Unmeasurable, OSError, LookupError, ValueError)
"""Errors of a peer's server, disk or answers. A row that fails with one does not affect other rows."""


def seconds(bench: Bench) -> float:
    return bench.seconds(8, 4)


def times(
    bench: Bench, name: str, server: Server, theirs: Drive, ours: Drive, doing: str, stripped: Drive | None = None
) -> Row:
    """Our rate as a multiple of theirs. `doing` says what is compared. `stripped` drives the stripped programs with the
    requests that ours get."""
    bench.say(f"  {name}")
    drives = {"ours": ours} if stripped is None else {"ours": ours, "stripped": stripped}
    try:
        compared = bench.compare_all(lambda: _enough(server.metered(theirs)), drives, rounds=1 if bench.quick else 3)
    except PROBLEMS as problem:
        return unmeasured([name], TWENTY_TIMES, problem)[0]
    found, percent = compared["ours"], None
    note = f"{doing}; {CALLERS} callers; {both(found.ours, found.ceiling)}"
    raw = {**found.raw, **of_theirs(found.ceiling)}
    if least := compared.get("stripped"):
        percent = 100 * found.ratio / least.ratio
        raw["stripped"] = least.raw
        note += (
            f"; programs of aiohttp, grpc.aio and asyncpg that do nothing but the unavoidable, a call at a time "
            f"(tests/load/peers/stripped.py), do {least.ours.rate:,.0f}/s, {least.ratio:.1f} times theirs; ours at "
            f"{percent:.0f} % of it"
        )
    return Row(
        name,
        found.ours,
        found.ceiling.rate,
        found.ratio,
        target=TWENTY_TIMES,
        note=note,
        raw=raw,
        stripped=percent,
    )


def unmeasured(names: Sequence[str], target: Target, problem: BaseException) -> list[Row]:
    said = str(problem) if isinstance(problem, Unmeasurable) else repr(problem)
    return [Row(name, target=target, problem=said) for name in names]


def both(ours: Load, theirs: Load) -> str:
    """Figures that the table has no columns for. CPU is of servers and Postgres, and hardly changes on a busy
    machine."""
    their_times = f"theirs p50 {theirs.p50_ms:.0f} ms, p99 {theirs.p99_ms:.0f} ms"
    return f"{their_times}; CPU a call, Postgres included: ours {_cpu_ms(ours):.2f} ms, theirs {_cpu_ms(theirs):.2f} ms"


def of_theirs(load: Load) -> dict[str, object]:
    return {"theirs": {"p50_ms": load.p50_ms, "p99_ms": load.p99_ms, "cpu_us": dict(load.cpu_us)}}


def _cpu_ms(load: Load) -> float:
    return load.total_cpu_us / 1000


def _enough(load: Load) -> Load:
    if load.count < MIN_ANSWERS:
        raise Unmeasurable(f"{load.count} answers in one drive are too few for a rate")
    return load
