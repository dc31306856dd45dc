"""CPU of a call as a multiple of a Ping on the same path, which differs less between machines."""

from tests.load.bench.context import Comparison
from tests.load.bench.request import Request
from tests.load.bench.result import TIMES, Row, Target, Unmeasurable

PING = Request("/v1/ping")
BUDGETS = {"gRPC read": 1.6, "REST read": 2.1, "REST save": 3.2, "deploy": 6.8}
"""1.25 times the medians measured on two cores: 1.3, 1.7, 2.5 and 5.4."""


def cpu_row(call: str, compared: Comparison, ping: str) -> Row:
    """`compared`: the comparison with drives of `ping`. A call without a budget has no target."""
    if not compared.cpu_ratio > 0:
        raise Unmeasurable("/proc shows no CPU time of the server processes")
    return Row(
        f"CPU: {call}",
        load=compared.ours,
        value=compared.cpu_ratio,
        unit=TIMES,
        target=Target.at_most(BUDGETS[call], TIMES) if call in BUDGETS else None,
        note=f"user and system time of all server processes for a call, {compared.ours.total_cpu_us:,.0f} µs, against "
        f"{ping}, {compared.ceiling.total_cpu_us:,.0f} µs",
        raw={"ping_cpu_us": dict(compared.ceiling.cpu_us)},
    )
