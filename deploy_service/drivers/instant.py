"""The driver for when nothing runs: a deployment is a record, and there is nothing to wait for."""

from deploy_service.model import Deployment


class InstantDriver:
    immediate = True

    async def roll_out(self, deployment: Deployment, age: float) -> None:
        return

    async def follow_up(self, deployment: Deployment, revision: int) -> list[str]:
        return []
