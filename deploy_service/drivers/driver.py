"""What every driver does, and how it fails."""

from typing import Protocol

from deploy_service.model import Deployment


class RolloutFailed(Exception):
    """The deployment could not be brought up; the message is for the person who deployed."""

    def __init__(self, message: str, code: str = "ROLLOUT_FAILED") -> None:
        super().__init__(message)
        self.code = code


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

    async def follow_up(self, deployment: Deployment, revision: int) -> list[str]:
        """Return once callers get what the deployment pins, which went live as this revision of the app.

        Within a few seconds, whatever happens. The sentences are what people should know.
        """
