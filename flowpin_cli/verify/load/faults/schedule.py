"""Schedules faults from the run's seed: one at a time, with pauses in which the system recovers."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

from flowpin_cli.verify.load.faults.installation import Installation
from flowpin_cli.verify.load.faults.kinds import faults
from flowpin_cli.verify.load.options import KILL_APPS
from flowpin_cli.verify.load.recorder import Recorder

PAUSE_SECONDS = (2.0, 4.0)
"""Seconds between two faults. Kills alternate, so one process is killed at most every eighth second. `flowpin up` ends
after five crashes in thirty seconds."""


class Schedule:
    """The faults of one run."""

    def __init__(self, installation: Installation, names: Sequence[str], seed: int) -> None:
        self._installation = installation
        self._chance = random.Random(f"{seed} faults")  # noqa: S311 - a run can be repeated from its seed
        self._stopping = asyncio.Event()
        self.made: Counter[str] = Counter()
        self.left_out = _left_out(installation, names)
        self._names = [name for name in names if name not in self.left_out]

    def stop(self) -> None:
        """Cause no further fault. The current one ends as planned."""
        self._stopping.set()

    async def run(self, recorder: Recorder) -> None:
        """Cause faults until `stop`, or until `flowpin up` has ended."""
        known = faults(runs_apps=self._installation.runs_apps)
        waiting: list[str] = []
        while self._names and not await self._paused() and self._installation.ended() is None:
            if not waiting:  # each occurs once before any is repeated
                waiting = self._chance.sample(self._names, len(self._names))
            name = waiting.pop()
            begin = recorder.now
            what = await known[name](self._installation, self._chance)
            self.made[name] += 1
            recorder.note_fault(name, what, begin)

    def gave_up(self) -> str | None:
        """The last output of `flowpin up`, if it has ended because of the faults."""
        return self._installation.ended()

    async def _paused(self) -> bool:
        """Wait for a pause. Returns whether the run was stopped meanwhile."""
        try:
            async with asyncio.timeout(self._chance.uniform(*PAUSE_SECONDS)):
                return await self._stopping.wait()
        except TimeoutError:
            return False


def _left_out(installation: Installation, names: Sequence[str]) -> dict[str, str]:
    reasons = {}
    if installation.clock is None:
        reasons["clock"] = "this machine has no libfaketime"
    if installation.disk is None:
        reasons["full-disk"] = "it takes a small file system, which only root may mount"
    if not installation.runs_apps:
        reasons[KILL_APPS] = "no runtime is installed that apps could run in"
    return {name: reason for name, reason in reasons.items() if name in names}
