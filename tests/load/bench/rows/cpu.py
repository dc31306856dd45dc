"""What a call costs in CPU, as a multiple of a Ping that goes the same way: machines differ less in that."""

from tests.load.bench.context import Comparison
from tests.load.bench.request import Request
from tests.load.bench.result import TIMES, Row, Target, Unmeasurable

PING = Request("/v1/ping")
BUDGETS = {"gRPC read": 1.6, "REST read": 2.1, "REST save": 3.2, "deploy": 6.8}
"""1.25 times the medians on two cores: 1.3, 1.7, 2.5 and 5.4."""


def cpu_row(call: str, compared: Comparison, ping: str) -> Row:
    """`compared` is with drives of `ping`."""
    if not compared.cpu_ratio > 0:
        raise Unmeasurable("the server processes used no CPU that /proc could tell")
    return Row(
        f"CPU: {call}",
        load=compared.ours,
        value=compared.cpu_ratio,
        target=Target.at_most(BUDGETS[call], TIMES),
        note=f"user and system time of all server processes for a call, {compared.ours.total_cpu_us:,.0f} µs, against "
        f"{ping}, {compared.ceiling.total_cpu_us:,.0f} µs",
        raw={"ping_cpu_us": dict(compared.ceiling.cpu_us)},
    )
