"""The interface of drivers, and their error."""

from typing import Protocol

from deploy_service.model import Deployment


class RolloutFailed(Exception):
    """The deployment could not be started. The message is for the person who deployed."""

    def __init__(self, message: str, code: str = "ROLLOUT_FAILED") -> None:
        super().__init__(message)
        self.code = code


class Driver(Protocol):
    immediate: bool
    """True if a deployment needs no start. It then goes live in the transaction of the deploy."""

    async def roll_out(self, deployment: Deployment, age: float) -> None:
        """Return when the deployment is up. Raises RolloutFailed.

        `age` is the seconds since the deployment was requested, by the database's clock.

        A driver is idempotent. When the calling replica died, is paused or was cut off, another replica calls it with
        the same deployment. The first call may still run. Each call continues what an earlier one began, and returns
        immediately when everything is up. A call is canceled when its rollout is canceled, timed out or taken over. A
        canceled call cleans nothing up: the next call continues from there.
        """

    async def follow_up(self, deployment: Deployment, revision: int) -> list[str]:
        """Return once callers reach the deployment, which went live as this revision of the app.

        Returns within a few seconds even if they do not. The returned sentences are notes for people.
        """
