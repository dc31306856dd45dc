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
    """Whether there is nothing to wait for: the cut-over then happens in the transaction of the deploy."""

    async def roll_out(self, deployment: Deployment, age: float) -> None:
        """Return when the deployment's pins are up. Raises RolloutFailed.

        `age` is the seconds since the deployment was requested, by the database's clock.

        A driver is idempotent. It is called again with the same deployment when the calling replica died, is paused or
        was cut off, and that replica's call may still run. Each call continues what an earlier one began, and returns
        immediately when everything is up. A call is canceled when its rollout is canceled, timed out or taken over. It
        then leaves everything as it is for the next call.
        """

    async def follow_up(self, deployment: Deployment, revision: int) -> list[str]:
        """Return once callers get what the deployment pins, which went live as this revision of the app.

        Within a few seconds, whatever happens. The sentences are what people should know.
        """
