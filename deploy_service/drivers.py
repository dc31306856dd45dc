"""What brings a deployment up. `instant` has nothing to wait for; `scripted` stands in for slow and failing ones."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Protocol

from deploy_service.model import Deployment


class RolloutFailed(Exception):
    """The deployment could not be brought up; the message is for the person who deployed."""


class Driver(Protocol):
    immediate: bool
    """Whether there is nothing to wait for: the cut-over then happens in the transaction of the deploy."""

    async def roll_out(self, deployment: Deployment) -> None:
        """Return once what the deployment pins is up. Raises RolloutFailed.

        It is called again with the same deployment when the replica that called it has died, and canceled when the
        deployment is, so it takes up what it finds.
        """


class InstantDriver:
    immediate = True

    async def roll_out(self, deployment: Deployment) -> None:
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
    def _parse(step: str) -> tuple[str, timedelta]:
        found = re.fullmatch(r"(ok|fail|hang)|(delay):(\d{1,6}(?:\.\d+)?)", step)
        if found is None:
            raise ValueError(f"rollout_script: {step!r} is none of ok, delay:SECONDS, fail, hang")
        return found[1] or found[2], timedelta(seconds=float(found[3] or 0))

    async def roll_out(self, deployment: Deployment) -> None:
        name, delay = self._steps[min(deployment.number, len(self._steps)) - 1]
        if name == "fail":
            raise RolloutFailed("The script says that this rollout fails.")
        if name == "hang":
            await asyncio.Event().wait()
        await asyncio.sleep((deployment.started_at + delay - datetime.now(UTC)).total_seconds())
