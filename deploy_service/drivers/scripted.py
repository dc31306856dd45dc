"""The driver for tests, which imitates slow and failing drivers."""

import asyncio
import re

from deploy_service.drivers.driver import RolloutFailed
from deploy_service.model import Deployment


class ScriptedDriver:
    """Follows a script: one step per deployment of an app; the last step is repeated.

    Steps are `ok`, `delay:SECONDS` (since the request), `fail` and `hang`.
    """

    immediate = False

    def __init__(self, script: str) -> None:
        """Raises ValueError naming the invalid step."""
        self._steps = [self._parse(step.strip()) for step in script.split(",")]

    @staticmethod
    def _parse(step: str) -> tuple[str, float]:
        found = re.fullmatch(r"(ok|fail|hang)|(delay):(\d{1,6}(?:\.\d+)?)", step)
        if found is None:
            raise ValueError(f"rollout_script: {step!r} must be ok, delay:SECONDS, fail or hang")
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
