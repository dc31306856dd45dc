"""The table runtimes."""

import hashlib
from uuid import UUID

import asyncpg

from deploy_service.errors import NoSuchRuntime, RuntimeExists, RuntimeLockNotFound
from deploy_service.model import Runtime
from service_kit.db import Connection, only
from service_kit.paging import Page, fetch_page


async def list_runtimes(db: Connection, page: Page) -> tuple[list[Runtime], int]:
    """A page of runtimes, the default first, then the newest, and the total number."""
    rows, total = await fetch_page(
        db,
        """
        SELECT counted.total, r.*
        FROM (SELECT count(*) AS total FROM runtimes) counted
        LEFT JOIN (
            SELECT id, version, label, is_default, deprecated, lock_digest, created_at FROM runtimes
            ORDER BY is_default DESC, created_at DESC, id DESC LIMIT $1 OFFSET $2
        ) r ON true
        ORDER BY r.is_default DESC, r.created_at DESC, r.id DESC
        """,
        page.size,
        page.offset,
    )
    return [Runtime(**{name: row[name] for name in Runtime.__slots__}) for row in rows], total


async def lock_runtimes(db: Connection) -> None:
    """Lock all runtimes until the transaction ends, so that there is always one default."""
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended('runtimes', 0))")


async def get_named_runtime(db: Connection, runtime_id: UUID) -> Runtime:
    """The runtime that a path names. Raises NoSuchRuntime."""
    row = await db.fetchrow(
        "SELECT id, version, label, is_default, deprecated, lock_digest FROM runtimes WHERE id = $1", runtime_id
    )
    if row is None:
        raise NoSuchRuntime(runtime_id)
    return Runtime(**row)


async def clear_default(db: Connection) -> None:
    """Unset the default. The same transaction must set another one."""
    await db.execute("UPDATE runtimes SET is_default = false WHERE is_default")


async def insert_runtime(
    db: Connection, runtime_id: UUID, version: str, label: str, lock_digest: bytes | None, *, default: bool
) -> Runtime:
    """Raises RuntimeExists."""
    try:
        row = await db.fetchrow(
            """
            INSERT INTO runtimes (id, version, label, is_default, lock_digest) VALUES ($1, $2, $3, $4, $5)
            RETURNING id, version, label, is_default, deprecated, lock_digest
            """,
            runtime_id,
            version,
            label,
            default,
            lock_digest,
        )
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != "runtimes_version_key":
            raise
        raise RuntimeExists(version) from None
    return Runtime(**only(row))


async def update_runtime(db: Connection, runtime: Runtime) -> None:
    """Store the runtime's label, marks and lock."""
    await db.execute(
        "UPDATE runtimes SET label = $2, is_default = $3, deprecated = $4, lock_digest = $5 WHERE id = $1",
        runtime.id,
        runtime.label,
        runtime.is_default,
        runtime.deprecated,
        runtime.lock_digest,
    )


async def keep_lock(db: Connection, lock: bytes) -> bytes:
    """Store a lock unless it is already stored. Returns its digest."""
    digest = hashlib.sha256(lock).digest()
    await db.execute("INSERT INTO runtime_locks (digest, lock) VALUES ($1, $2) ON CONFLICT DO NOTHING", digest, lock)
    return digest


async def get_lock(db: Connection, runtime_id: UUID, digest: bytes) -> bytes:
    """A lock of the runtime: the current one, or one that a deployment pins. Raises RuntimeLockNotFound."""
    lock: bytes | None = await db.fetchval(
        """
        SELECT lock FROM runtime_locks l WHERE digest = $2 AND (
            EXISTS (SELECT FROM runtimes r WHERE r.id = $1 AND r.lock_digest = l.digest)
            OR EXISTS (SELECT FROM deployments d WHERE d.runtime_id = $1 AND d.runtime_digest = l.digest)
        )
        """,
        runtime_id,
        digest,
    )
    if lock is None:
        raise RuntimeLockNotFound(runtime_id)
    return lock
