"""Runs the checks on a snapshot of each schema."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.processes import printable
from flowpin_cli.verify import audit, database, deployments, events, idempotency, labels, runs, versions
from flowpin_cli.verify.check import Check, Outcome, Snapshots
from flowpin_cli.verify.snapshot import Source, open_snapshot

CHECKS = (
    *versions.CHECKS,
    *labels.CHECKS,
    *deployments.CHECKS,
    *runs.CHECKS,
    *audit.CHECKS,
    *events.CHECKS,
    *idempotency.CHECKS,
    *database.CHECKS,
)
READ_IN_ORDER = ("run", "deploy", "workflow")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """The outcome of a check, and how long it took."""

    check: Check
    outcome: Outcome
    seconds: float


@dataclass(frozen=True)
class Report:
    """All results, and the time of the snapshot of each schema."""

    moments: dict[str, datetime]
    results: list[Result]
    seconds: float

    @property
    def found(self) -> int:
        return sum(result.outcome.found for result in self.results)


def nobody(line: str) -> None:
    """Discards progress."""


async def verify(sources: Sequence[Source], say: Say = nobody) -> Report:
    """Run all checks. `say` receives the progress. Raises CannotRun."""
    began = time.monotonic()
    async with open_snapshots(sources) as snapshots:
        results = [await _run(check, snapshots, say) for check in CHECKS]
        moments = {name: snapshot.moment for name, snapshot in snapshots.items()}
    return Report(moments, results, time.monotonic() - began)


@asynccontextmanager
async def open_snapshots(sources: Sequence[Source]) -> AsyncIterator[Snapshots]:
    """A snapshot of each schema: the run service's, then the deploy service's, then the workflow service's.

    A version exists before it is pinned and is never removed. So every version that is pinned in the second snapshot is
    in the third. For the same reason, the deployments of runs are in the second. The run service's is omitted if it
    does not exist. Raises CannotRun, also for errors of the database in the block.
    """
    async with AsyncExitStack() as until_done:
        try:
            snapshots = {}
            for source in sorted(sources, key=lambda source: READ_IN_ORDER.index(source.service)):
                snapshot = await until_done.enter_async_context(open_snapshot(source))
                if snapshot is not None:
                    snapshots[source.service] = snapshot
            yield snapshots
        except TimeoutError:
            raise CannotRun("the database has not answered in time") from None
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            # Only the first line: later lines may contain values of a row.
            said = printable(str(error).partition("\n")[0]) or type(error).__name__
            raise CannotRun(f"the database refused: {said}") from None


async def _run(check: Check, snapshots: Snapshots, say: Say) -> Result:
    began = time.monotonic()
    say(check.name)
    outcome = Outcome(lambda checked: say(f"{check.name} … {checked:,} {check.pieces}"))
    await check.look(snapshots, outcome)
    return Result(check, outcome, time.monotonic() - began)
