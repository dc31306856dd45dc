"""The context of every row: the running stack, the load generators for it, and the rows measured so far."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from tests.load.bench import h2load, metrics, open_loop, pgbench, wrk
from tests.load.bench.caller import Caller
from tests.load.bench.graphs import Graph, graph
from tests.load.bench.h2load import Clients
from tests.load.bench.open_loop import Call, Event
from tests.load.bench.percentile import median
from tests.load.bench.request import Request
from tests.load.bench.result import Load, Row, Unmeasurable
from tests.load.bench.stack import Stack

Drive = Callable[[], Load]
WORKFLOW = "flowpin.workflow.v1.WorkflowService"
IDENTITY = "flowpin.identity.v1.IdentityService"
CLOSED_LOOP = Clients()
ACCEPTED_CODES = ("OK", "CANCELLED")
"""Acceptable codes of RPCs. A generator that stops cancels the calls in progress."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Our load and its ceiling. `ours` and `ceiling` are from the pair with the median ratio."""

    ours: Load
    ceiling: Load
    ratio: float
    cpu_ratio: float
    """CPU of our call as a multiple of the ceiling's. NaN when one of them was not measured."""
    raw: Mapping[str, Any]

    @property
    def percent(self) -> float:
        return 100 * self.ratio


@dataclass
class Bench:
    stack: Stack
    scratch: Path
    quick: bool
    say: Callable[[str], None]
    rows: list[Row] = field(default_factory=list)
    """The rows measured so far."""
    content: Graph = field(default_factory=graph)
    """The flow of 7 KB that is saved and read."""

    def seconds(self, normal: float, quick: float) -> float:
        return quick if self.quick else normal

    def rate(self, name: str) -> float | None:
        """The rate of our row of this name, calls a second. None when it was not measured in this run."""
        return next((row.load.rate for row in self.rows if row.name == name and row.load), None)

    def caller(self) -> Caller:
        """A caller with one connection to the gateway and one request at a time."""
        return Caller(self.stack.url, self.stack.headers, self.stack.context)

    def rest(self, requests: Request | Sequence[Request], seconds: float, connections: int = wrk.CONNECTIONS) -> Load:
        """Drive our gateway with wrk. Raises Unmeasurable when an answer is not a success."""
        return self.wrk(self.stack.url, requests, seconds, connections, self.stack.headers)

    def peak(self, requests: Sequence[Request]) -> float:
        """The highest rate of our gateway, requests a second, in a few short drives of wrk."""
        return max(self.rest(requests, self.seconds(5, 1)).rate for _ in range(2 if self.quick else 3))

    def open_loop(
        self, requests: Sequence[Request], rate: float, seconds: float, event: Event | None = None
    ) -> list[Call]:
        """Drive our gateway at a fixed rate, and measure each call from its due time."""
        return open_loop.drive(self.stack.url, requests, self.stack.headers, rate, seconds, event)

    def wrk(
        self,
        url: str,
        requests: Request | Sequence[Request],
        seconds: float,
        connections: int = wrk.CONNECTIONS,
        headers: Mapping[str, str] | None = None,
    ) -> Load:
        """Drive any server with wrk, the requests in turn. wrk accepts only whole seconds."""
        each = [requests] if isinstance(requests, Request) else requests
        return self.metered(lambda: wrk.drive(url, each, headers or {}, seconds, self.scratch, connections))

    def grpc(
        self,
        method: str,
        message: Message,
        seconds: float,
        clients: Clients = CLOSED_LOOP,
    ) -> Load:
        """Drive an RPC of the workflow service, "package.Service/Method", with h2load.

        Raises Unmeasurable when the service counted an answer that is not OK.
        """
        port = self.stack.metrics_ports["workflow"]
        name = method.rpartition("/")[2]
        before = metrics.handled(port, name)
        url = f"http://{self.stack.workflow_grpc}/{method}"
        headers = {**h2load.GRPC_HEADERS, **self.stack.headers}
        body = h2load.grpc_frame(message.SerializeToString())
        load = self.metered(lambda: h2load.drive([url], headers, seconds, self.scratch, body=body, clients=clients)[0])
        codes = metrics.handled(port, name) - before
        if set(codes) - set(ACCEPTED_CODES) or codes["OK"] < load.count - load.errors:
            raise Unmeasurable(f"{name} was answered with {dict(codes)}, {load.count} as h2load counts")
        return load

    def pgbench(self, script: pgbench.Script, role: str, clients: int, seconds: float) -> Load:
        """Drive pgbench as a serving role on its schema. Raises Unmeasurable when a transaction fails."""
        url = f"{self.stack.role_url(role)}&options=-csearch_path%3D{role.removeprefix('flowpin_')}"
        return self.metered(lambda: pgbench.drive(script, url, clients, seconds, self.scratch))

    def on(self, stack: Stack) -> "Bench":
        """The same bench for another stack."""
        return replace(self, stack=stack)

    def metered(self, drive: Drive) -> Load:
        """Drive a load and add the CPU per call of each of our processes."""
        before = self.stack.cpu_seconds()
        load = drive()
        after = self.stack.cpu_seconds()
        if not load.count:
            return load
        return replace(load, cpu_us={name: 1e6 * (after[name] - before[name]) / load.count for name in after})

    def compare(self, ceiling: Drive, ours: Drive, pairs: int) -> Comparison:
        """Drive ceiling, ours, ceiling, …, ceiling. The ratio is the median of our rate to its neighbours' mean."""
        return self.compare_all(ceiling, {"": ours}, pairs)[""]

    def compare_all(self, ceiling: Drive, ours: Mapping[str, Drive], rounds: int) -> dict[str, Comparison]:
        """The same with several drives between two ceilings. Without --quick each is first driven once as a warm-up."""
        if not self.quick:
            for drive in (ceiling, *ours.values()):
                drive()
        ceilings = [ceiling()]
        loads: dict[str, list[Load]] = {name: [] for name in ours}
        for _ in range(rounds):
            for name, drive in ours.items():
                loads[name].append(drive())
            ceilings.append(ceiling())
        return {name: comparison(found, ceilings) for name, found in loads.items()}

    def settle(self) -> None:
        """Wait for work that the last row left behind."""
        time.sleep(0.2 if self.quick else 1)


def comparison(ours: Sequence[Load], ceilings: Sequence[Load]) -> Comparison:
    """Compare our drives with the ceilings around them by the median. There is one more ceiling than drives."""
    around = [(before.rate + after.rate) / 2 for before, after in pairwise(ceilings)]
    ratios = [load.rate / rate for load, rate in zip(ours, around, strict=True)]
    middle = median(ratios)
    nearest = min(range(len(ours)), key=lambda pair: abs(ratios[pair] - middle))
    raw = {"ratios": ratios, "ours": [load.rate for load in ours], "ceilings": [load.rate for load in ceilings]}
    return Comparison(
        ours[nearest], replace(ceilings[nearest], rate=around[nearest]), middle, _cpu_ratio(ours, ceilings), raw
    )


def _cpu_ratio(ours: Sequence[Load], ceilings: Sequence[Load]) -> float:
    around = [(before.total_cpu_us + after.total_cpu_us) / 2 for before, after in pairwise(ceilings)]
    if not all(around):
        return math.nan
    return median(load.total_cpu_us / cpu_us for load, cpu_us in zip(ours, around, strict=True))
