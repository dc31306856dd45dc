"""When which fault is made: drawn from the run's seed, one at a time, with pauses in which the system recovers."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

from flowpin_cli.verify.load.faults.installation import Installation
from flowpin_cli.verify.load.faults.kinds import faults
from flowpin_cli.verify.load.recorder import Recorder

PAUSE_SECONDS = (2.0, 4.0)
"""Between two faults. Kills go in turn, so one process is killed every eighth second at most.

`flowpin up` gives up at five crashes in thirty seconds.
"""


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
        """No further fault; the one that is under way is taken back as planned."""
        self._stopping.set()

    async def run(self, recorder: Recorder) -> None:
        """Until `stop`, or until `flowpin up` has given up."""
        known = faults()
        waiting: list[str] = []
        while self._names and not await self._paused() and self._installation.ended() is None:
            if not waiting:  # each once before any comes again
                waiting = self._chance.sample(self._names, len(self._names))
            name = waiting.pop()
            begin = recorder.now
            what = await known[name](self._installation, self._chance)
            self.made[name] += 1
            recorder.write({"fault": name, "what": what, "begin": begin, "end": recorder.now})

    def gave_up(self) -> str | None:
        """What `flowpin up` said at its end, when it did not outlive the faults."""
        return self._installation.ended()

    async def _paused(self) -> bool:
        """Whether the run was stopped meanwhile."""
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
    return {name: reason for name, reason in reasons.items() if name in names}
