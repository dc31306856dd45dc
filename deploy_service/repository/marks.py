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


async def find_mark(db: Connection, project_id: UUID, app_id: UUID, version_id: UUID) -> str | None:
    """The version's newest mark in this app: good, bad, or None."""
    health: str | None = await db.fetchval(
        """
        SELECT health FROM deployments
        WHERE project_id = $1 AND app_id = $2 AND version_id = $3 AND health IS NOT NULL
        ORDER BY marked_at DESC LIMIT 1
        """,
        project_id,
        app_id,
        version_id,
    )
    return health
