"""Makes calls that deploy wait for the rollout, so that the answer contains its outcome."""

import asyncio
from uuid import UUID

import structlog

from deploy_service.drivers.local import ROUTERS_SECONDS
from deploy_service.model import Deployment
from deploy_service.repository import deployments
from deploy_service.signals import Topic
from service_kit.array_parameters import Projects
from service_kit.database_errors import describe
from service_kit.db import FAILURES, Pool
from service_kit.idempotency import Context
from service_kit.signals import Signals

LOOK_SECONDS = 0.5
"""Seconds between two polls, because a signal can be lost."""
MOST_WAITING = 32
"""Maximum number of waiting calls in this process, because each occupies a slot of a running call. Further calls are
answered immediately."""
BEFORE_DEADLINE_SECONDS = 0.5
"""Seconds before its own deadline at which a call is answered."""

log = structlog.get_logger()


class RolloutWaits:
    """The calls of this process that wait."""

    def __init__(self, pool: Pool, signals: Signals, seconds: float) -> None:
        """A call waits for at most `seconds`. With 0, no call waits."""
        self._pool = pool
        self._signals = signals
        self._seconds = seconds
        self._waiting = 0
        self._is_closed = False

    def close(self) -> None:
        """Answer all waiting calls, and let no call wait from now on."""
        self._is_closed = True
        self._signals.wake()

    async def settle(
        self, projects: Projects, app_id: UUID, deployment_id: UUID, context: Context
    ) -> Deployment | None:
        """The deployment after its rollout, or as it is at the end of the wait.

        None if the call does not wait, or if the database does not answer. The deploy is already committed.
        """
        if not self._seconds or self._is_closed or self._waiting == MOST_WAITING:
            return None
        left = context.time_remaining()
        seconds = self._seconds if left is None else min(self._seconds, left - BEFORE_DEADLINE_SECONDS)
        self._waiting += 1
        try:
            await self._until_ended(projects, app_id, deployment_id, seconds)
            async with self._pool.acquire() as db:
                return await deployments.find_deployment(db, projects, app_id, deployment_id)
        except FAILURES as error:
            log.warning("rollout_not_waited_for", error=describe(error))
            return None
        finally:
            self._waiting -= 1

    async def _until_ended(self, projects: Projects, app_id: UUID, deployment_id: UUID, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        is_live = False
        with self._signals.subscribe(Topic.ROUTED, about=app_id) as signals:
            while not self._is_closed:
                async with self._pool.acquire() as db:
                    is_finished, is_routed = await deployments.find_outcome(db, projects, app_id, deployment_id)
                if is_routed:
                    return
                if is_finished and not is_live:
                    # The replica that waits for the routers may be lost, so this wait is limited to the time that it
                    # has.
                    is_live, deadline = True, min(deadline, loop.time() + ROUTERS_SECONDS + LOOK_SECONDS)
                left = deadline - loop.time()
                if left <= 0:
                    return
                await signals.wait(min(left, LOOK_SECONDS))
