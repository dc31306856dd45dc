"""What brings a deployment up. `instant` has nothing to wait for; `scripted` stands in for slow and failing ones."""

import asyncio
import re
from typing import Protocol

from deploy_service.model import Deployment


class RolloutFailed(Exception):
    """The deployment could not be brought up; the message is for the person who deployed."""


class Driver(Protocol):
    immediate: bool
    """Whether there is nothing to wait for: the cut-over then happens in the transaction of the deploy."""

    async def roll_out(self, deployment: Deployment, age: float) -> None:
        """Return once what the deployment pins is up. Raises RolloutFailed.

        `age` is the seconds since the deployment was asked for, by the database's clock.

        A driver is idempotent. It is called again with the same deployment when the replica that called it has died,
        is paused or was cut off; that replica's call may still run. Each call takes up what an earlier one has begun,
        and returns at once when all of it is up. A call is canceled when its rollout was canceled, timed out or taken
        over: it then leaves what it has begun as it is, for the next one.
        """


class InstantDriver:
    immediate = True

    async def roll_out(self, deployment: Deployment, age: float) -> None:
        return


class ScriptedDriver:
    """Follows a script: the first deployment of each app its first step, and so on; the last step for all further ones.

    Steps are `ok`, `delay:SECONDS` (from when it was asked for), `fail` and `hang`.
    """

    immediate = False

    def __init__(self, script: str) -> None:
        """Raises ValueError naming the step that is none."""
        self._steps = [self._parse(step.strip()) for step in script.split(",")]

    @staticmethod
    def _parse(step: str) -> tuple[str, float]:
        found = re.fullmatch(r"(ok|fail|hang)|(delay):(\d{1,6}(?:\.\d+)?)", step)
        if found is None:
            raise ValueError(f"rollout_script: {step!r} is none of ok, delay:SECONDS, fail, hang")
        return found[1] or found[2], float(found[3] or 0)

    async def roll_out(self, deployment: Deployment, age: float) -> None:
        name, delay = self._steps[min(deployment.number, len(self._steps)) - 1]
        if name == "fail":
            raise RolloutFailed("The script says that this rollout fails.")
        if name == "hang":
            await asyncio.Event().wait()
        await asyncio.sleep(delay - age)
