"""Steps of a rollout: claim, renew, go live, finish. Steps that end a rollout lock the app's row first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from deploy_service.leases import Lease
from deploy_service.model import Deployment
from deploy_service.repository.deployments import COLUMNS, deployment_from
from service_kit.db import Connection


@dataclass(frozen=True, slots=True)
class Claim:
    """A rollout that this replica claimed."""

    deployment: Deployment
    age: float
    """Seconds since the deployment was requested, by the database's clock."""
    taken_over: bool
    """Whether another replica worked on it before."""


async def find_leases(db: Connection, mine: Sequence[UUID]) -> list[Lease]:
    """All leases except those of `mine`."""
    rows = await db.fetch(
        """
        SELECT id, lease_until, lease_until < clock_timestamp() AS is_over FROM deployments
        WHERE finished_at IS NULL AND lease_owner IS NOT NULL AND id <> ALL($1)
        """,
        mine,
    )
    return [Lease(row["id"], row["lease_until"], row["is_over"]) for row in rows]


async def claim_rollouts(
    db: Connection, owner: UUID, lease: timedelta, mine: Sequence[UUID], lapsed: Sequence[Lease], most: int
) -> list[Claim]:
    """Claim up to `most` rollouts, except `mine`, that have no lease, or whose lease is in `lapsed` and was not renewed
    since."""
    rows = await db.fetch(
        """
        WITH free AS (
            SELECT project_id, app_id, number, lease_owner IS NOT NULL AS taken_over FROM deployments
            WHERE finished_at IS NULL AND id <> ALL($4)
              AND (
                lease_owner IS NULL OR (id, lease_until) IN (
                    SELECT id, until FROM unnest($5::uuid[], $6::timestamptz[]) AS lapsed (id, until)
                )
            )
            ORDER BY started_at LIMIT $3
            FOR UPDATE SKIP LOCKED
        )
        UPDATE deployments d
        SET status = 'deploying', lease_owner = $1, lease_until = clock_timestamp() + $2
        FROM free f
        WHERE d.project_id = f.project_id AND d.app_id = f.app_id AND d.number = f.number
        RETURNING """
        + COLUMNS
        + ", extract(epoch FROM clock_timestamp() - d.started_at)::float8 AS age, f.taken_over",
        owner,
        lease,
        most,
        mine,
        [each.deployment_id for each in lapsed],
        [each.until for each in lapsed],
    )
    return [Claim(deployment_from(row), row["age"], row["taken_over"]) for row in rows]


async def renew_leases(db: Connection, owner: UUID, ids: Sequence[UUID], lease: timedelta) -> set[UUID]:
    """Renew these leases. Rollouts missing in the result were canceled or taken over."""
    rows = await db.fetch(
        """
        UPDATE deployments SET lease_until = clock_timestamp() + $3
        WHERE id = ANY($2) AND lease_owner = $1 AND finished_at IS NULL
        RETURNING id
        """,
        owner,
        ids,
        lease,
    )
    return {row["id"] for row in rows}


async def release_leases(db: Connection, owner: UUID) -> None:
    """Release all rollouts of this replica, so that others can claim them immediately."""
    await db.execute(
        "UPDATE deployments SET lease_owner = NULL, lease_until = NULL WHERE lease_owner = $1 AND finished_at IS NULL",
        owner,
    )


async def end_live(db: Connection, project_id: UUID, app_id: UUID, environment: str) -> datetime:
    """End the live deployment of the environment, if any. Returns the time of the end, when the next one begins."""
    moment: datetime | None = await db.fetchval(
        """
        UPDATE deployments SET live_to = greatest(clock_timestamp(), live_from + interval '1 microsecond')
        WHERE project_id = $1 AND app_id = $2 AND environment = $3 AND live_from IS NOT NULL AND live_to IS NULL
        RETURNING live_to
        """,
        project_id,
        app_id,
        environment,
    )
    return moment or await db.fetchval("SELECT clock_timestamp()")


async def go_live(db: Connection, deployment: Deployment, owner: UUID, moment: datetime) -> Deployment | None:
    """None if the rollout has already ended, or another replica works on it."""
    row = await db.fetchrow(
        """
        UPDATE deployments d
        SET status = 'succeeded', live_from = $5, finished_at = $5, lease_owner = NULL, lease_until = NULL
        WHERE d.project_id = $1 AND d.app_id = $2 AND d.number = $3
          AND d.finished_at IS NULL AND d.lease_owner = $4
        RETURNING """
        + COLUMNS,
        deployment.project_id,
        deployment.app_id,
        deployment.number,
        owner,
        moment,
    )
    return deployment_from(row) if row else None


async def fail(db: Connection, deployment: Deployment, owner: UUID, code: str, message: str) -> bool:
    """Fail the deployment: it never goes live. False if it has already ended, or another replica works on it."""
    failed = await db.fetchval(
        """
        UPDATE deployments
        SET status = 'failed', finished_at = clock_timestamp(), error_code = $5, error_message = $6,
            lease_owner = NULL, lease_until = NULL
        WHERE project_id = $1 AND app_id = $2 AND number = $3 AND finished_at IS NULL AND lease_owner = $4
        RETURNING true
        """,
        deployment.project_id,
        deployment.app_id,
        deployment.number,
        owner,
        code,
        message,
    )
    return bool(failed)


async def cancel(
    db: Connection, project_id: UUID, app_id: UUID, deployment_id: UUID, code: str | None, message: str | None
) -> bool:
    """Cancel the deployment: it never goes live. False when it is already finished."""
    canceled = await db.fetchval(
        """
        UPDATE deployments
        SET status = 'canceled', finished_at = clock_timestamp(), error_code = $4, error_message = $5,
            lease_owner = NULL, lease_until = NULL
        WHERE project_id = $1 AND app_id = $2 AND id = $3 AND finished_at IS NULL RETURNING true
        """,
        project_id,
        app_id,
        deployment_id,
        code,
        message,
    )
    return bool(canceled)


async def cancel_all(db: Connection, project_id: UUID, app_id: UUID, code: str | None, message: str | None) -> int:
    """Cancel all rollouts of an app with this reason. Returns how many there were."""
    rows = await db.fetch(
        """
        UPDATE deployments
        SET status = 'canceled', finished_at = clock_timestamp(), error_code = $3, error_message = $4,
            lease_owner = NULL, lease_until = NULL
        WHERE project_id = $1 AND app_id = $2 AND finished_at IS NULL RETURNING id
        """,
        project_id,
        app_id,
        code,
        message,
    )
    return len(rows)


async def end_all_live(db: Connection, project_id: UUID, app_id: UUID) -> None:
    """End all live deployments of an app."""
    await db.execute(
        """
        UPDATE deployments
        SET live_to = greatest(clock_timestamp(), live_from + interval '1 microsecond')
        WHERE project_id = $1 AND app_id = $2 AND live_from IS NOT NULL AND live_to IS NULL
        """,
        project_id,
        app_id,
    )
