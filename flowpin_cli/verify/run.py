"""Runs the checks on two snapshots."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.processes import printable
from flowpin_cli.verify import audit, database, deployments, events, idempotency, labels, versions
from flowpin_cli.verify.check import Check, Outcome, Snapshots
from flowpin_cli.verify.snapshot import Source, open_snapshot

CHECKS = (
    *versions.CHECKS,
    *labels.CHECKS,
    *deployments.CHECKS,
    *audit.CHECKS,
    *events.CHECKS,
    *idempotency.CHECKS,
    *database.CHECKS,
)
READ_FIRST = "deploy"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """What a check has found, and how long it took."""

    check: Check
    outcome: Outcome
    seconds: float


@dataclass(frozen=True)
class Report:
    """All results, and the moment of each schema that they are about."""

    moments: dict[str, datetime]
    results: list[Result]
    seconds: float

    @property
    def found(self) -> int:
        return sum(result.outcome.found for result in self.results)


def nobody(line: str) -> None:
    """Progress that nobody wants to see."""


async def verify(sources: Sequence[Source], say: Say = nobody) -> Report:
    """Look at everything. `say` is told how far it is. Raises CannotRun."""
    began = time.monotonic()
    async with open_snapshots(sources) as snapshots:
        results = [await _run(check, snapshots, say) for check in CHECKS]
        moments = {name: snapshot.moment for name, snapshot in snapshots.items()}
    return Report(moments, results, time.monotonic() - began)


@asynccontextmanager
async def open_snapshots(sources: Sequence[Source]) -> AsyncIterator[Snapshots]:
    """Each schema as of one moment, the deploy service's before the workflow service's.

    A version is there before it is pinned, and it is never removed: so every version that is pinned in the first one is
    in the second one. Raises CannotRun, also for what the database refuses in the block.
    """
    async with AsyncExitStack() as until_done:
        try:
            snapshots = {}
            for source in sorted(sources, key=lambda source: source.service != READ_FIRST):
                snapshots[source.service] = await until_done.enter_async_context(open_snapshot(source))
            yield snapshots
        except TimeoutError:
            raise CannotRun("the database has not answered in time") from None
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            # The first line alone: those after it may show what is in a row.
            said = printable(str(error).partition("\n")[0]) or type(error).__name__
            raise CannotRun(f"the database refused: {said}") from None


async def _run(check: Check, snapshots: Snapshots, say: Say) -> Result:
    began = time.monotonic()
    say(check.name)
    outcome = Outcome(lambda checked: say(f"{check.name} … {checked:,} {check.pieces}"))
    await check.look(snapshots, outcome)
    return Result(check, outcome, time.monotonic() - began)
