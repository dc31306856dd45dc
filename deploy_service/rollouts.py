"""Works on rollouts: claims them under a lease, has the driver bring them up, and cuts over."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import structlog
from prometheus_client import Counter, Histogram

from deploy_service.drivers import Driver, RolloutFailed
from deploy_service.errors import AppNotFound
from deploy_service.model import Deployment
from deploy_service.repository import apps, deployments, rollouts
from service_kit import logs
from service_kit.db import Connection, Pool, describe
from service_kit.ids import new_id

POLL_SECONDS = 0.25
MOST_AT_ONCE = 50
DATABASE_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)

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
    """End what is live in the deployment's environment and make it live, at one moment, under the app's lock.

    One that comes after a newer one is canceled instead. Raises LeaseLost, and the transaction has to be given up.
    """
    live = await deployments.find_live(db, deployment.project_id, deployment.app_id, deployment.environment)
    if live is not None and live.number > deployment.number:
        message = "A newer deployment went live first."
        await rollouts.cancel(db, deployment.project_id, deployment.app_id, deployment.id, "SUPERSEDED", message)
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


class RolloutWorker:
    """One replica's share of the rollouts. Any replica can work on any; a lease says who does."""

    def __init__(self, pool: Pool, driver: Driver, lease: timedelta, timeout: timedelta, takeover: timedelta) -> None:
        """`timeout` bounds a rollout, `takeover` what is left of one whose replica has died."""
        self._pool = pool
        self._driver = driver
        self._lease = lease
        self._timeout = timeout
        self._takeover = takeover
        self._owner = new_id()
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Work until canceled; then leave what is under way to the other replicas, or to the next start."""
        try:
            while True:
                try:
                    await self._claim()
                    await self._renew()
                except DATABASE_FAILURES as error:
                    log.warning("rollouts_wait_for_database", error=describe(error))
                except Exception:
                    log.exception("rollouts_broke")  # and go on: nobody else would
                await asyncio.sleep(POLL_SECONDS)
        finally:
            await self._leave()

    async def _claim(self) -> None:
        if len(self._tasks) >= MOST_AT_ONCE:
            return
        # What is under way here stays out: after the database was away, its leases have run out too.
        mine = [key for key, task in self._tasks.items() if not task.done()]
        async with self._pool.acquire() as db:
            claimed = await rollouts.claim_rollouts(db, self._owner, self._lease, mine, MOST_AT_ONCE - len(self._tasks))
        for deployment, taken_over in claimed:
            self._tasks[deployment.id] = asyncio.create_task(self._work(deployment, taken_over))

    async def _renew(self) -> None:
        self._tasks = {key: task for key, task in self._tasks.items() if not task.done()}
        if not self._tasks:
            return
        async with self._pool.acquire() as db:
            kept = await rollouts.renew_leases(db, self._owner, list(self._tasks), self._lease)
        for deployment_id in self._tasks.keys() - kept:
            self._tasks[deployment_id].cancel()

    async def _leave(self) -> None:
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        with suppress(*DATABASE_FAILURES):
            async with self._pool.acquire() as db:
                await rollouts.release_leases(db, self._owner)

    async def _work(self, deployment: Deployment, taken_over: bool) -> None:
        logs.about(deployment=str(deployment.id), app=str(deployment.app_id))
        log.info("rollout_started", taken_over=taken_over)
        try:
            await self._roll_out(deployment, taken_over)
        except DATABASE_FAILURES as error:
            # How it went could not be written down: the lease runs out, and the rollout is claimed again.
            log.warning("rollout_waits_for_database", error=describe(error))

    async def _roll_out(self, deployment: Deployment, taken_over: bool) -> None:
        left = (deployment.started_at + self._timeout - datetime.now(UTC)).total_seconds()
        if taken_over:
            left = min(left, self._takeover.total_seconds())
        try:
            async with asyncio.timeout(left):
                await self._driver.roll_out(deployment)
        except RolloutFailed as error:
            await self._fail(deployment, "ROLLOUT_FAILED", str(error))
        except TimeoutError:
            if taken_over:
                await self._fail(deployment, "ROLLOUT_INTERRUPTED", "The service that rolled it out died meanwhile.")
            else:
                await self._fail(deployment, "ROLLOUT_TIMED_OUT", f"It was not up after {self._timeout}.")
        except Exception:
            log.exception("rollout_broke")
            await self._fail(deployment, "ROLLOUT_FAILED", "The driver broke.")
        else:
            await self._succeed(deployment)

    async def _succeed(self, deployment: Deployment) -> None:
        try:
            async with self._pool.acquire() as db, db.transaction():
                await apps.lock_app(db, [deployment.project_id], deployment.app_id)
                done = await cut_over(db, deployment, self._owner)
        except (LeaseLost, AppNotFound):
            log.info("rollout_left")
        else:
            log.info("rollout_finished", status=done.status)

    async def _fail(self, deployment: Deployment, code: str, message: str) -> None:
        async with self._pool.acquire() as db:
            await rollouts.fail(db, deployment, self._owner, code, message)
        OUTCOMES.labels(code.lower()).inc()
        log.warning("rollout_failed", code=code, message=message)
