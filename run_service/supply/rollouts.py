"""Starts deployments that are rolling out, and reports the outcome."""

import asyncio
import time
from collections.abc import Callable, Mapping
from uuid import UUID

import structlog

from run_service.settings import SupplyLimits
from run_service.supply.deploy_client import DeployClient
from run_service.supply.replica_group import ReplicaGroup
from run_service.supply.routes import Pin
from run_service.supply.starts import StartFailed
from run_service.supply.tasks import Tasks
from service_kit.errors import ServiceError

NOT_LOADABLE = "The deployment has no document for replicas to load. Deploy the version again."
PAUSE_SECONDS = 0.5
"""Seconds between two tries to start a deployment, and to report."""

log = structlog.get_logger()


class Rollouts:
    def __init__(
        self, deploys: DeployClient, group_of: Callable[[Pin], ReplicaGroup], limits: SupplyLimits, tasks: Tasks
    ) -> None:
        self._deploys = deploys
        self._group_of = group_of
        self._limits = limits
        self._tasks = tasks
        self._under_way: dict[UUID, asyncio.Task[None]] = {}

    def follow(self, rolling_out: Mapping[UUID, Pin]) -> None:
        """Start the current rollouts, and stop work on those that have ended."""
        for deployment_id in self._under_way.keys() - rolling_out.keys():
            self._under_way.pop(deployment_id).cancel()
        for deployment_id, pin in rolling_out.items():
            if deployment_id not in self._under_way:
                self._under_way[deployment_id] = self._tasks.start(self._roll_out(pin))

    async def _roll_out(self, pin: Pin) -> None:
        """Start a deployment and report the outcome. After a temporary failure, it is tried again for a while."""
        if not pin.made_from.loadable_digest:
            await self._report(pin, StartFailed("NOT_LOADABLE", NOT_LOADABLE, is_final=True))
            return
        give_up_at = time.monotonic() + self._limits.wake_seconds
        failure = None
        while True:
            try:
                await self._group_of(pin).brought_up(at_once=True)
                failure = None
            except StartFailed as error:
                failure = error
                if not failure.is_final and time.monotonic() < give_up_at:
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
            await self._report(pin, failure)
            return

    async def _report(self, pin: Pin, failure: StartFailed | None) -> None:
        """Repeat the report until the deploy service has received it, or the rollout has ended."""
        log.info("rollout_reported", deployment=str(pin.deployment_id), reason=failure.reason if failure else None)
        while True:
            try:
                if failure is None:
                    await self._deploys.report_up(pin)
                else:
                    await self._deploys.report_failed(pin, failure.reason, failure.message)
                return
            except ServiceError as error:
                log.warning("rollout_not_reported", deployment=str(pin.deployment_id), error=error.reason)
                if error.code.name in ("NOT_FOUND", "INVALID_ARGUMENT"):
                    return
                await asyncio.sleep(PAUSE_SECONDS)
