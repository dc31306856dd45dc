"""The table idempotency_keys, which every service has in its own schema."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from service_kit.db import Connection, Row


@dataclass(frozen=True, slots=True)
class Scope:
    """How long a key belongs to one request."""

    project_id: UUID
    principal_id: UUID
    rpc: str
    key: str


async def lock_key(db: Connection, scope: Scope) -> bool:
    """Lock the key until the transaction ends. False if another call has locked it."""
    name = f"{scope.project_id} {scope.principal_id} {scope.rpc} {scope.key}"
    return bool(await db.fetchval("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))", name))


async def find_answer(db: Connection, scope: Scope) -> Row | None:
    """The request digest, the answer and its trailing metadata, if they were stored in the last 24 hours."""
    return await db.fetchrow(
        """
        SELECT request_digest, answer, trailers FROM idempotency_keys
        WHERE project_id = $1 AND principal_id = $2 AND rpc = $3 AND key = $4
          AND created_at > clock_timestamp() - interval '24 hours'
        """,
        scope.project_id,
        scope.principal_id,
        scope.rpc,
        scope.key,
    )


async def insert_answer(
    db: Connection, scope: Scope, request_digest: bytes, answer: bytes, trailers: Mapping[str, str]
) -> None:
    """Store the answer and its trailing metadata. Replaces an expired answer."""
    await db.execute(
        """
        INSERT INTO idempotency_keys (project_id, principal_id, rpc, key, request_digest, answer, trailers)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (project_id, principal_id, rpc, key)
        DO UPDATE SET request_digest = $5, answer = $6, trailers = $7, created_at = clock_timestamp()
        """,
        scope.project_id,
        scope.principal_id,
        scope.rpc,
        scope.key,
        request_digest,
        answer,
        list(map(list, trailers.items())),
    )


async def delete_expired(db: Connection, limit: int) -> int:
    """Remove answers older than 24 hours, the oldest first. Returns their number. Concurrent replicas remove different
    ones."""
    status = await db.execute(
        """
        DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM idempotency_keys
            WHERE created_at <= clock_timestamp() - interval '24 hours'
            ORDER BY created_at LIMIT $1
            FOR UPDATE SKIP LOCKED
        ))
        """,
        limit,
    )
    return int(status.removeprefix("DELETE "))
