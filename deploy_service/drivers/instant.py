"""The driver for installations that run no apps: a deployment is only a record, and is live immediately."""

from deploy_service.model import Deployment


class InstantDriver:
    immediate = True

    async def roll_out(self, deployment: Deployment, age: float) -> None:
        return

    async def follow_up(self, deployment: Deployment, revision: int) -> list[str]:
        return []
