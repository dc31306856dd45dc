"""One run of the bench, from an empty folder to the reports."""

import asyncio
import importlib
import inspect
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from tests.load.bench.context import Bench
from tests.load.bench.machine import machine
from tests.load.bench.report import files
from tests.load.bench.report.summary import summary
from tests.load.bench.result import Row, Unmeasurable
from tests.load.bench.rows import AFTER_RESTART, GROUPS, LONG, Measure
from tests.load.bench.seeds import Seeds
from tests.load.bench.stack import running

PEERS = ("mlflow", "prefect", "envoy")


@dataclass(frozen=True, slots=True)
class Plan:
    quick: bool
    names: Sequence[str]
    """Names of groups of rows. Empty for all."""
    peers: bool
    out: Path

    def chosen(self, groups: Mapping[str, Measure]) -> dict[str, Measure]:
        wanted = self.names or [name for name in groups if not (self.quick and name in LONG)]
        return {name: measure for name, measure in groups.items() if name in wanted}


@dataclass(frozen=True, slots=True)
class Found:
    rows: Sequence[Row]
    seconds: float
    out: Path

    @property
    def unmeasured(self) -> list[Row]:
        return [row for row in self.rows if row.problem]

    @property
    def summary(self) -> str:
        return f"{summary(self.rows)}. In {self.seconds:.0f} s; {self.out}/bench.json, bench.md, bench.svg"


def run(plan: Plan, console: Console) -> Found:
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.0f} s[/]  {text}", highlight=False)

    where = machine()
    rows: list[Row] = []
    with _scratch() as scratch:
        data = scratch / "data"
        say("Starting everything on an empty folder")
        with running(data) as stack:
            bench = Bench(stack, scratch, plan.quick, say, rows)
            seeds = Seeds(bench)
            for name, measure in plan.chosen(GROUPS).items():
                _measure(bench, name, partial(measure, bench, seeds))
            for name in PEERS:
                if name in plan.names or (plan.peers and not plan.names):
                    _measure(bench, f"peer {name}", partial(_peer, name, bench))
        if later := plan.chosen(AFTER_RESTART):
            say("Starting again on the same data")
            with running(data) as stack:
                again = bench.on(stack)
                seeds.move_to(again)
                for name, measure in later.items():
                    _measure(again, name, partial(measure, again, seeds))
        say("Stopped")
    found = Found(rows, time.monotonic() - began, plan.out)
    files.write(
        plan.out, files.among_earlier(plan.out, rows, plan.names), where, quick=plan.quick, seconds=found.seconds
    )
    return found


def _measure(bench: Bench, name: str, measure: Callable[[], list[Row]]) -> None:
    bench.say(f"[bold]{name}[/]")
    try:
        found = measure()
    except Unmeasurable as problem:
        found = [Row(name, problem=str(problem))]
    except Exception as error:  # one failed row must not end the others
        found = [Row(name, problem=f"the bench broke: {error!r}")]
    for row in found:
        bench.say(
            f"  {row.name}: {row.shown_value} {f'({row.target})' if row.target else ''} {row.verdict} {row.problem}"
        )
    bench.rows.extend(found)
    bench.settle()


def _peer(name: str, bench: Bench) -> list[Row]:
    """Run the rows of tests/load/peers/NAME.py."""
    try:
        module = importlib.import_module(f"tests.load.peers.{name}")
    except ModuleNotFoundError as error:
        raise Unmeasurable(str(error)) from None
    found = module.measure(bench)
    rows: list[Row] = asyncio.run(found) if inspect.isawaitable(found) else found  # type: ignore[arg-type]
    return rows


@contextmanager
def _scratch() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="flowpin-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
