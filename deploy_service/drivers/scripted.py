"""The driver for tests, which stands in for slow and failing ones."""

import asyncio
import re

from deploy_service.drivers.driver import RolloutFailed
from deploy_service.model import Deployment


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

    async def follow_up(self, deployment: Deployment, revision: int) -> list[str]:
        return []
