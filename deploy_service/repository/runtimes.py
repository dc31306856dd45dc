"""The table runtimes."""

from uuid import UUID

from deploy_service.errors import RuntimeNotFound
from deploy_service.model import Runtime
from service_kit.db import Connection, only
from service_kit.paging import Page


async def get_runtime(db: Connection, runtime_id: UUID) -> Runtime:
    """Raises RuntimeNotFound."""
    row = await db.fetchrow("SELECT id, version, label, is_default, deprecated FROM runtimes WHERE id = $1", runtime_id)
    if row is None:
        raise RuntimeNotFound
    return Runtime(**row)


async def get_default_runtime(db: Connection) -> Runtime:
    return Runtime(
        **only(await db.fetchrow("SELECT id, version, label, is_default, deprecated FROM runtimes WHERE is_default"))
    )


async def list_runtimes(db: Connection, page: Page) -> tuple[list[Runtime], int]:
    """A page, the default first, then the newest; and how many there are in all."""
    rows = await db.fetch(
        """
        SELECT id, version, label, is_default, deprecated FROM runtimes
        ORDER BY is_default DESC, created_at DESC, id DESC LIMIT $1 OFFSET $2
        """,
        page.size,
        page.offset,
    )
    total: int = await db.fetchval("SELECT count(*) FROM runtimes")
    return [Runtime(**row) for row in rows], total
