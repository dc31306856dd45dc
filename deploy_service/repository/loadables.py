"""The table loadables: the documents that replicas load, one row per digest."""

from uuid import UUID

from service_kit.db import Connection


async def find_loadable(db: Connection, project_id: UUID, digest: bytes) -> bytes | None:
    document: bytes | None = await db.fetchval(
        "SELECT document FROM loadables WHERE project_id = $1 AND digest = $2", project_id, digest
    )
    return document
