"""The table runtimes."""

from uuid import UUID

import asyncpg

from deploy_service.errors import NoSuchRuntime, RuntimeExists
from deploy_service.model import Runtime
from service_kit.db import Connection, only
from service_kit.paging import Page, fetch_page


async def list_runtimes(db: Connection, page: Page) -> tuple[list[Runtime], int]:
    """A page, the default first, then the newest; and how many there are in all."""
    rows, total = await fetch_page(
        db,
        """
        SELECT counted.total, r.*
        FROM (SELECT count(*) AS total FROM runtimes) counted
        LEFT JOIN (
            SELECT id, version, label, is_default, deprecated, created_at FROM runtimes
            ORDER BY is_default DESC, created_at DESC, id DESC LIMIT $1 OFFSET $2
        ) r ON true
        ORDER BY r.is_default DESC, r.created_at DESC, r.id DESC
        """,
        page.size,
        page.offset,
    )
    return [
        Runtime(row["id"], row["version"], row["label"], row["is_default"], row["deprecated"]) for row in rows
    ], total


async def lock_runtimes(db: Connection) -> None:
    """Changes of runtimes take turns until the transaction ends, so that one default follows another."""
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended('runtimes', 0))")


async def get_named_runtime(db: Connection, runtime_id: UUID) -> Runtime:
    """The runtime that a path names. Raises NoSuchRuntime."""
    row = await db.fetchrow("SELECT id, version, label, is_default, deprecated FROM runtimes WHERE id = $1", runtime_id)
    if row is None:
        raise NoSuchRuntime(runtime_id)
    return Runtime(**row)


async def clear_default(db: Connection) -> None:
    """To be followed by another default in the same transaction."""
    await db.execute("UPDATE runtimes SET is_default = false WHERE is_default")


async def insert_runtime(db: Connection, runtime_id: UUID, version: str, label: str, *, default: bool) -> Runtime:
    """Raises RuntimeExists."""
    try:
        row = await db.fetchrow(
            """
            INSERT INTO runtimes (id, version, label, is_default) VALUES ($1, $2, $3, $4)
            RETURNING id, version, label, is_default, deprecated
            """,
            runtime_id,
            version,
            label,
            default,
        )
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != "runtimes_version_key":
            raise
        raise RuntimeExists(version) from None
    return Runtime(**only(row))


async def update_runtime(db: Connection, runtime: Runtime) -> None:
    """Write its label and marks."""
    await db.execute(
        "UPDATE runtimes SET label = $2, is_default = $3, deprecated = $4 WHERE id = $1",
        runtime.id,
        runtime.label,
        runtime.is_default,
        runtime.deprecated,
    )
