"""What was said of deployments: how each proved."""

from uuid import UUID

from service_kit.db import Connection


async def mark(
    db: Connection, project_id: UUID, app_id: UUID, deployment_id: UUID, health: str, note: str | None
) -> None:
    """The app's row is locked, so that marks have an order."""
    await db.execute(
        """
        UPDATE deployments SET health = $4, health_note = $5, marked_at = clock_timestamp()
        WHERE project_id = $1 AND app_id = $2 AND id = $3
        """,
        project_id,
        app_id,
        deployment_id,
        health,
        note,
    )
