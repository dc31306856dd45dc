"""The table rollout_reports: outcomes of deployments, as run services report them."""

from dataclasses import dataclass
from uuid import UUID

from service_kit.db import Connection


@dataclass(frozen=True, slots=True)
class Report:
    """The digest if the deployment is up, otherwise a reason and a message."""

    digest: bytes | None
    reason: str | None
    message: str | None


async def insert_report(db: Connection, project_id: UUID, deployment_id: UUID, report: Report) -> bool | None:
    """True if this is the first report of a rollout in progress. None if the deployment does not exist."""
    row = await db.fetchrow(
        """
        WITH reported AS (
            SELECT project_id, id, finished_at FROM deployments WHERE project_id = $1 AND id = $2
        ), kept AS (
            INSERT INTO rollout_reports (project_id, deployment_id, digest, reason, message)
            SELECT project_id, id, $3, $4, $5 FROM reported WHERE finished_at IS NULL
            ON CONFLICT DO NOTHING RETURNING true
        )
        SELECT EXISTS (SELECT FROM kept) AS counts FROM reported
        """,
        project_id,
        deployment_id,
        report.digest,
        report.reason,
        report.message,
    )
    return None if row is None else bool(row["counts"])


async def find_report(db: Connection, project_id: UUID, deployment_id: UUID) -> Report | None:
    row = await db.fetchrow(
        "SELECT digest, reason, message FROM rollout_reports WHERE project_id = $1 AND deployment_id = $2",
        project_id,
        deployment_id,
    )
    return Report(**row) if row else None
