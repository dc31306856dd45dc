"""The table access_keys. It stores only the hash and a preview of a key's secret."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from uuid import UUID

from deploy_service.errors import AccessKeyNotFound
from deploy_service.model import AccessKey
from service_kit.db import Connection, Row
from service_kit.errors import InvalidFields
from service_kit.paging import Page, fetch_page

_FIELDS = [field.name for field in fields(AccessKey)]


async def insert_access_key(
    db: Connection,
    project_id: UUID,
    access_key_id: UUID,
    name: str,
    secret_hash: bytes,
    preview: str,
    by: UUID,
    expires_at: datetime | None,
) -> AccessKey:
    """Raises InvalidFields when the expiry is in the past, by the database's clock."""
    row = await db.fetchrow(
        """
        INSERT INTO access_keys (project_id, id, name, secret_hash, preview, created_by, expires_at)
        SELECT $1, $2, $3, $4, $5, $6, $7 WHERE $7::timestamptz IS NULL OR $7 > clock_timestamp()
        RETURNING project_id, id, name, preview, created_at, created_by, expires_at, revoked_at
        """,
        project_id,
        access_key_id,
        name,
        secret_hash,
        preview,
        by,
        expires_at,
    )
    if row is None:
        raise InvalidFields({"expires_at": "must be in the future"})
    return AccessKey(**row)


async def list_access_keys(db: Connection, project_id: UUID, page: Page) -> tuple[list[AccessKey], int]:
    """A page of keys, newest first, including revoked ones, and the total number.

    The order is by time, not by id: created_at is from the database's clock, an id from the clock of the replica.
    """
    rows, total = await fetch_page(
        db,
        """
        SELECT counted.total, k.*
        FROM (SELECT count(*) AS total FROM access_keys WHERE project_id = $1) counted
        LEFT JOIN (
            SELECT project_id, id, name, preview, created_at, created_by, expires_at, revoked_at
            FROM access_keys WHERE project_id = $1
            ORDER BY created_at DESC, id DESC LIMIT $2 OFFSET $3
        ) k ON true
        ORDER BY k.created_at DESC, k.id DESC
        """,
        project_id,
        page.size,
        page.offset,
    )
    return [AccessKey(**{name: row[name] for name in _FIELDS}) for row in rows], total


async def lock_access_key(db: Connection, projects: Sequence[UUID], access_key_id: UUID) -> UUID:
    """The key's project. Raises AccessKeyNotFound."""
    project_id: UUID | None = await db.fetchval(
        "SELECT project_id FROM access_keys WHERE project_id = ANY($1) AND id = $2 FOR UPDATE", projects, access_key_id
    )
    if project_id is None:
        raise AccessKeyNotFound(access_key_id)
    return project_id


async def revoke_access_key(db: Connection, project_id: UUID, access_key_id: UUID, by: UUID) -> bool:
    """False when the key is already revoked."""
    revoked = await db.fetchval(
        """
        UPDATE access_keys SET revoked_at = clock_timestamp(), revoked_by = $3
        WHERE project_id = $1 AND id = $2 AND revoked_at IS NULL RETURNING true
        """,
        project_id,
        access_key_id,
        by,
    )
    return bool(revoked)


async def list_events(db: Connection, project_id: UUID, page: Page) -> tuple[list[Row], int]:
    """A page of the audit events of a project's keys, newest first, and the total number.

    Events are found by the key that they are about. Revoked keys keep their rows, so no event is missed.
    """
    return await fetch_page(
        db,
        """
        SELECT counted.total, e.*
        FROM (
            SELECT count(*) AS total FROM audit_events a
            JOIN access_keys k ON k.project_id = a.project_id AND k.id = a.subject_id
            WHERE a.project_id = $1
        ) counted
        LEFT JOIN (
            SELECT a.id, action, target_id, actor_id, actor_name, token_id, request_id, a.created_at, details, number
            FROM audit_events a JOIN access_keys k ON k.project_id = a.project_id AND k.id = a.subject_id
            WHERE a.project_id = $1
            ORDER BY number DESC NULLS LAST, a.created_at DESC, a.id DESC LIMIT $2 OFFSET $3
        ) e ON true
        ORDER BY e.number DESC NULLS LAST, e.created_at DESC, e.id DESC
        """,
        project_id,
        page.size,
        page.offset,
    )
