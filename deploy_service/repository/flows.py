"""The table flows: the documents that deployments pin, one row per digest."""

from uuid import UUID

from service_kit.db import Connection, only


async def get_flow(db: Connection, project_id: UUID, digest: bytes) -> bytes:
    """The flow that a deployment of the project pins. A foreign key guarantees that it exists."""
    row = only(await db.fetchrow("SELECT flow FROM flows WHERE project_id = $1 AND digest = $2", project_id, digest))
    flow: bytes = row["flow"]
    return flow
