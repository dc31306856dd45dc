"""The driver for apps that run. A run service starts deployments and reports the outcome; then routers serve them."""

import asyncio

import structlog

from deploy_service.drivers.driver import RolloutFailed
from deploy_service.model import Deployment
from deploy_service.repository import rollout_reports, routers
from deploy_service.repository.rollout_reports import Report
from deploy_service.signals import Topic
from service_kit.database_errors import describe
from service_kit.db import FAILURES, Pool
from service_kit.signals import Signals

LOOK_SECONDS = 0.5
"""Seconds between two polls, because a signal can be lost."""
ROUTERS_SECONDS = 2.0
"""Seconds that routers have to serve a deployment. They usually need milliseconds."""

log = structlog.get_logger()


class LocalDriver:
    immediate = False

    def __init__(self, pool: Pool, signals: Signals, run_service_seconds: float) -> None:
        """A rollout fails when no run service was connected for `run_service_seconds`."""
        self._pool = pool
        self._signals = signals
        self._run_service_seconds = run_service_seconds

    async def roll_out(self, deployment: Deployment, age: float) -> None:
        if deployment.pin.loadable_digest is None:
            raise _not_loadable(deployment)
        loop = asyncio.get_running_loop()
        connected_at = loop.time()
        with self._signals.subscribe(Topic.REPORTED, about=deployment.id) as signals:
            while True:
                try:
                    async with self._pool.acquire() as db:
                        report = await rollout_reports.find_report(db, deployment.project_id, deployment.id)
                        is_connected = report is not None or await routers.any_connected(db, deployment.project_id)
                except FAILURES as error:
                    log.warning("rollout_delayed", error=describe(error))
                    is_connected, report = True, None
                if report is not None:
                    return _check(report, deployment)
                if is_connected:
                    connected_at = loop.time()
                elif loop.time() - connected_at >= self._run_service_seconds:
                    raise RolloutFailed(
                        f"No run service has been connected for {self._run_service_seconds:g} seconds, so nothing can "
                        "run the app. Start one and deploy again.",
                        "RUN_SERVICE_AWAY",
                    )
                await signals.wait(LOOK_SECONDS)

    async def follow_up(self, deployment: Deployment, revision: int) -> list[str]:
        whose = deployment.project_id, deployment.app_id, revision
        deadline = asyncio.get_running_loop().time() + ROUTERS_SECONDS
        late: list[str] = []
        with self._signals.subscribe(Topic.ACKNOWLEDGED, about=deployment.app_id) as signals:
            while True:
                try:
                    async with self._pool.acquire() as db:
                        late = await routers.find_late(db, *whose)
                except FAILURES as error:
                    log.warning("rollout_delayed", error=describe(error))
                else:
                    if not late:
                        return []
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0:
                    return [_note(name) for name in late]
                await signals.wait(min(left, LOOK_SECONDS))


def _check(report: Report, deployment: Deployment) -> None:
    """Raises RolloutFailed unless the pinned document is up."""
    if report.digest is None:
        raise RolloutFailed(report.message or "", report.reason or "ROLLOUT_FAILED")
    if report.digest != deployment.pin.loadable_digest:
        raise RolloutFailed(
            f"A replica has parsed the document {report.digest.hex()[:12]}…, which is not the one that is pinned.",
            "DIGEST_DIFFERS",
        )


def _not_loadable(deployment: Deployment) -> RolloutFailed:
    problems = [warning for warning in deployment.warnings if warning.startswith("flow")]
    if problems:
        return RolloutFailed(f"The SDK cannot load the version's flow: {problems[0]}.", "FLOW_INVALID")
    return RolloutFailed(
        "What replicas load of this version is not kept here, and the workflow service did not answer. "
        "Deploy again when it does.",
        "LOADABLE_MISSING",
    )


def _note(name: str) -> str:
    return (
        f"The router {name} had not taken the deployment up after {ROUTERS_SECONDS:g} seconds; "
        "until it does, it serves what was live before."
    )
