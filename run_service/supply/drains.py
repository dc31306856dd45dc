"""Records how the calls of a deployment end after another one replaces it."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import structlog

from run_service.supply.deploy_client import DeployClient
from run_service.supply.routes import Pin
from service_kit.errors import ServiceError

PAUSE_SECONDS = 1.0
"""Pause before a report, so that it does not delay the cut-over, and between two tries."""

log = structlog.get_logger()


@dataclass
class CountedCall:
    was_killed: bool = False
    """Set if the call reached the time limit of a run, or its replica ended."""


@dataclass
class _Calls:
    """The calls of one deployment."""

    under_way: int = 0
    replaced: Pin | None = None
    drained: int = 0
    killed: int = 0
    """Killed calls, counted once the deployment is replaced."""


class Drains:
    def __init__(self, deploys: DeployClient) -> None:
        self._deploys = deploys
        self._calls: dict[UUID, _Calls] = {}
        """The calls of each deployment that has any."""
        self._known: dict[UUID, Pin] = {}
        self._over: asyncio.Queue[_Calls] = asyncio.Queue()

    def follow(self, live: Mapping[UUID, Pin]) -> None:
        """Update the live deployments, including those of archived apps. One that is no longer live was replaced, or
        its app was deleted."""
        for deployment_id in self._known.keys() - live.keys():
            calls = self._calls.get(deployment_id, _Calls())
            calls.replaced = self._known[deployment_id]
            if calls.under_way:
                log.info("deployment_draining", deployment=str(deployment_id), calls=calls.under_way)
            else:
                self._over.put_nowait(calls)
        self._known = dict(live)

    @contextmanager
    def counted(self, deployment_id: UUID) -> Iterator[CountedCall]:
        """Count a call of the deployment until the block ends."""
        calls = self._calls.setdefault(deployment_id, _Calls())
        calls.under_way += 1
        call = CountedCall()
        try:
            yield call
        finally:
            calls.under_way -= 1
            if calls.replaced is not None:
                calls.killed += call.was_killed
                calls.drained += not call.was_killed
            if not calls.under_way:
                del self._calls[deployment_id]
                if calls.replaced is not None:
                    self._over.put_nowait(calls)

    async def report(self) -> None:
        """Report each replaced deployment to the deploy service, until canceled."""
        while True:
            waiting = [await self._over.get()]
            await asyncio.sleep(PAUSE_SECONDS)
            while not self._over.empty():
                waiting.append(self._over.get_nowait())
            for calls in waiting:
                if calls.replaced is not None:
                    await self._report(calls.replaced, calls.drained, calls.killed)

    async def _report(self, pin: Pin, drained: int, killed: int) -> None:
        """Repeat the report until the deploy service has received it."""
        log.info("deployment_drained", deployment=str(pin.deployment_id), drained=drained, killed=killed)
        while True:
            try:
                await self._deploys.report_drain(pin, drained, killed)
                return
            except ServiceError as error:
                log.warning("drain_not_reported", deployment=str(pin.deployment_id), error=error.reason)
                if error.code.name not in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"):
                    return
                await asyncio.sleep(PAUSE_SECONDS)
