"""Works on rollouts: claims them under a lease, has the driver start them, and makes them live."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from prometheus_client import Counter, Histogram

from deploy_service.drivers import Driver, RolloutFailed
from deploy_service.errors import AppNotFound
from deploy_service.leases import LeaseWatch
from deploy_service.model import Deployment
from deploy_service.repository import apps, deployments, rollouts
from deploy_service.repository.rollouts import Claim
from deploy_service.signals import Topic
from service_kit import logs
from service_kit.database_errors import describe
from service_kit.db import FAILURES, Connection, Pool
from service_kit.ids import new_id
from service_kit.signals import Signals

POLL_SECONDS = 0.25
MOST_AT_ONCE = 50
RETRY_SECONDS = 0.5
"""Seconds between two tries to record the result of a rollout."""

OUTCOME_CODES = ("ROLLOUT_TIMED_OUT", "ROLLOUT_INTERRUPTED")
"""Codes of failures that metrics count separately. All others are the driver's."""
OUTCOMES = Counter(
    "flowpin_rollouts_total", "Rollouts that ended: live, superseded, canceled or why they failed.", ["outcome"]
)
CUT_OVER = Histogram(
    "flowpin_rollout_seconds",
    "From a deployment's start until it was live.",
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600),
)

log = structlog.get_logger()


class LeaseLost(Exception):
    """The rollout was canceled, or another replica has taken it over."""


async def cut_over(db: Connection, deployment: Deployment, owner: UUID) -> Deployment:
    """Replace the live deployment of the environment by this one, under the app's lock.

    If a newer deployment is live, this one is canceled instead. Raises LeaseLost, after which the transaction must be
    rolled back.
    """
    live = await deployments.find_live(db, deployment.project_id, deployment.app_id, deployment.environment)
    if live is not None and live.number > deployment.number:
        message = "A newer deployment went live first."
        whose = deployment.project_id, deployment.app_id, deployment.id
        if not await rollouts.cancel(db, *whose, "SUPERSEDED", message):
            raise LeaseLost
        OUTCOMES.labels("superseded").inc()
        return await deployments.get_deployment(db, [deployment.project_id], deployment.app_id, deployment.id)
    moment = await rollouts.end_live(db, deployment.project_id, deployment.app_id, deployment.environment)
    done = await rollouts.go_live(db, deployment, owner, moment)
    if done is None:
        raise LeaseLost
    count_live(done, moment)
    return done


def count_live(deployment: Deployment, moment: datetime) -> None:
    OUTCOMES.labels("live").inc()
    CUT_OVER.observe((moment - deployment.started_at).total_seconds())


def count_canceled(rollouts: int) -> None:
    OUTCOMES.labels("canceled").inc(rollouts)


class RolloutWorker:
    """Works on rollouts. Any replica can work on any rollout, if it has the lease."""

    def __init__(
        self,
        pool: Pool,
        driver: Driver,
        signals: Signals,
        lease_seconds: float,
        timeout_seconds: float,
        takeover_seconds: float,
    ) -> None:
        """`timeout_seconds` limits a rollout. A rollout that is claimed late still has `takeover_seconds`."""
        self._pool = pool
        self._driver = driver
        self._signals = signals
        self._lease = timedelta(seconds=lease_seconds)
        self._timeout_seconds = timeout_seconds
        self._takeover_seconds = min(takeover_seconds, timeout_seconds)
        self._owner = new_id()
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._ending: set[UUID] = set()
        """Rollouts whose result is known but perhaps not recorded. Recorded ones have no lease."""
        self._watch = LeaseWatch(lease_seconds)

    async def run(self) -> None:
        """Work until canceled. Rollouts in progress are then left to other replicas, or to the next start.

        Raises every error except failures of the database.
        """
        try:
            with self._signals.subscribe(Topic.ASKED) as signals:
                async with asyncio.TaskGroup() as tasks:
                    while True:
                        try:
                            # Renew own leases first, before other replicas take the rollouts over.
                            await self._renew()
                            await self._claim(tasks)
                        except FAILURES as error:
                            self._watch.forget()
                            log.warning("rollouts_delayed", error=describe(error))
                        await signals.wait(POLL_SECONDS)
        finally:
            await self._leave()

    async def _renew(self) -> None:
        self._tasks = {key: task for key, task in self._tasks.items() if not task.done()}
        if not self._tasks:
            return
        async with self._pool.acquire() as db:
            kept = await rollouts.renew_leases(db, self._owner, list(self._tasks), self._lease)
        for deployment_id in self._tasks.keys() - kept - self._ending:
            self._tasks[deployment_id].cancel()

    async def _claim(self, tasks: asyncio.TaskGroup) -> None:
        most = MOST_AT_ONCE - len(self._tasks)
        if most <= 0:
            return
        mine = list(self._tasks)
        async with self._pool.acquire() as db:
            lapsed = self._watch.lapsed(await rollouts.find_leases(db, mine))
            claims = await rollouts.claim_rollouts(db, self._owner, self._lease, mine, lapsed, most)
        for claim in claims:
            self._signals.send(Topic.CLAIMED, claim.deployment.app_id)
            self._tasks[claim.deployment.id] = tasks.create_task(self._work(claim))

    async def _leave(self) -> None:
        with suppress(*FAILURES):
            async with self._pool.acquire() as db:
                await rollouts.release_leases(db, self._owner)

    async def _work(self, claim: Claim) -> None:
        deployment = claim.deployment
        logs.about(deployment=str(deployment.id), app=str(deployment.app_id))
        log.info("rollout_started", taken_over=claim.taken_over)
        failure = await self._bring_up(claim)
        self._ending.add(deployment.id)
        try:
            revision = await self._end(deployment, failure)
            self._signals.send(Topic.CHANGED, deployment.app_id)
            if revision is not None:
                await self._follow_up(deployment, revision)
            self._signals.send(Topic.ROUTED, deployment.app_id)
        finally:
            self._ending.discard(deployment.id)

    async def _end(self, deployment: Deployment, failure: tuple[str, str] | None) -> int | None:
        """The app's revision at which the deployment went live. None if it did not."""
        while True:
            try:
                if failure is None:
                    return await self._succeed(deployment)
                await self._fail(deployment, *failure)
            except FAILURES as error:
                # The lease is still renewed, so that no other replica repeats the work.
                log.warning("rollout_delayed", error=describe(error))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return None

    async def _bring_up(self, claim: Claim) -> tuple[str, str] | None:
        """None when the deployment is up. Otherwise the cause: a code, and a sentence for people."""
        left = max(self._timeout_seconds - claim.age, self._takeover_seconds)
        try:
            async with asyncio.timeout(left) as limit:
                await self._driver.roll_out(claim.deployment, claim.age)
        except RolloutFailed as error:
            return error.code, str(error)
        except Exception:
            if not limit.expired():
                log.exception("rollout_broke")
                return "ROLLOUT_FAILED", "The driver failed with an internal error."
            if claim.taken_over:
                return (
                    "ROLLOUT_INTERRUPTED",
                    "The service that rolled it out ended, and no other finished it in time.",
                )
            return "ROLLOUT_TIMED_OUT", f"It was not up after {self._timeout_seconds:g} seconds."
        return None

    async def _succeed(self, deployment: Deployment) -> int | None:
        whose = deployment.project_id, deployment.app_id
        try:
            async with self._pool.acquire_to_change(deployment.app_id) as db, db.transaction():
                await apps.lock_app(db, [deployment.project_id], deployment.app_id)
                done = await cut_over(db, deployment, self._owner)
                revision = await apps.get_revision(db, *whose)
        except (LeaseLost, AppNotFound):
            log.info("rollout_left")
            return None
        log.info("rollout_finished", status=done.status)
        return revision if done.is_live else None

    async def _follow_up(self, deployment: Deployment, revision: int) -> None:
        """Wait until callers reach the live deployment, and store the notes for people."""
        notes = await self._driver.follow_up(deployment, revision)
        if notes:
            log.warning("rollout_noted", notes=notes)
        try:
            async with self._pool.acquire() as db:
                await deployments.note_routed(db, deployment.project_id, deployment.id, notes)
        except FAILURES as error:
            log.warning("rollout_not_noted", error=describe(error))

    async def _fail(self, deployment: Deployment, code: str, message: str) -> None:
        try:
            async with self._pool.acquire_to_change(deployment.app_id) as db, db.transaction():
                await apps.lock_app(db, [deployment.project_id], deployment.app_id)
                has_failed = await rollouts.fail(db, deployment, self._owner, code, message)
        except AppNotFound:
            has_failed = False
        if not has_failed:
            log.info("rollout_left")
            return
        OUTCOMES.labels(code.lower() if code in OUTCOME_CODES else "rollout_failed").inc()
        log.warning("rollout_failed", code=code, message=message)
