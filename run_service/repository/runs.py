"""The table runs. Runs are written in batches and read one at a time."""

from collections.abc import Sequence
from dataclasses import fields
from uuid import UUID

from run_service.errors import RunNotFound
from run_service.model import Run, RunError
from service_kit.array_parameters import Projects, columns
from service_kit.db import Connection, Row

_NAMES = [field.name for field in fields(Run)]


def run_from(row: Row) -> Run:
    return Run(**{name: row[name] for name in _NAMES})


async def upsert_runs(db: Connection, runs: Sequence[Run]) -> None:
    """Insert or update runs, each at most once. A run that has ended does not change, even if an older state is written
    later."""
    await db.execute(
        """
        INSERT INTO runs AS kept (
            project_id, id, app_id, environment, deployment_id, version_id, version_number, is_stream, started_at,
            access_key_id, access_key_preview, status, ended_at, error_code, error_message, error_node,
            user_id
        )
        SELECT project_id, id, app_id, environment, deployment_id, version_id, version_number, is_stream, started_at,
            access_key_id, access_key_preview, status, ended_at, error_code, error_message, error_node,
            user_id
        FROM unnest(
            $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[], $7::integer[], $8::boolean[],
            $9::timestamptz[], $10::uuid[], $11::text[], $12::text[], $13::timestamptz[], $14::text[], $15::text[],
            $16::text[], $17::uuid[]
        ) AS run (
            project_id, id, app_id, environment, deployment_id, version_id, version_number, is_stream, started_at,
            access_key_id, access_key_preview, status, ended_at, error_code, error_message, error_node,
            user_id
        )
        ON CONFLICT (project_id, id) DO UPDATE SET
            status = excluded.status, ended_at = excluded.ended_at, error_code = excluded.error_code,
            error_message = excluded.error_message, error_node = excluded.error_node
        WHERE kept.ended_at IS NULL
        """,
        *columns(tuple(getattr(run, name) for name in _NAMES) for run in runs),
    )


async def end_lost_runs(db: Connection, seconds: float, error: RunError) -> int:
    """End the runs that began more than `seconds` ago and have no end. Returns how many there were."""
    rows = await db.fetch(
        """
        UPDATE runs SET status = 'failed', ended_at = clock_timestamp(), error_code = $2, error_message = $3
        WHERE ended_at IS NULL AND started_at < clock_timestamp() - make_interval(secs => $1) RETURNING id
        """,
        seconds,
        error.code,
        error.message,
    )
    return len(rows)


async def delete_old_runs(db: Connection, seconds: float, limit: int) -> int:
    """Remove runs that ended more than `seconds` ago, the oldest first. Returns how many there were."""
    status = await db.execute(
        """
        DELETE FROM runs WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM runs
            WHERE ended_at IS NOT NULL AND ended_at <= clock_timestamp() - make_interval(secs => $1)
            ORDER BY ended_at LIMIT $2
            FOR UPDATE SKIP LOCKED
        ))
        """,
        seconds,
        limit,
    )
    return int(status.removeprefix("DELETE "))


async def get_run(db: Connection, projects: Projects, run_id: UUID) -> Run:
    """Raises RunNotFound."""
    row = await db.fetchrow(
        """
        SELECT project_id, id, app_id, environment, deployment_id, version_id, version_number, is_stream, started_at,
            access_key_id, access_key_preview, status, ended_at, error_code, error_message, error_node,
            user_id
        FROM runs WHERE project_id = ANY($1) AND id = $2
        """,
        projects,
        run_id,
    )
    if row is None:
        raise RunNotFound(run_id)
    return run_from(row)


async def has_runs(db: Connection, projects: Projects, app_id: UUID) -> bool:
    """Whether the app was ever called."""
    found = await db.fetchval(
        "SELECT EXISTS (SELECT FROM runs WHERE project_id = ANY($1) AND app_id = $2)", projects, app_id
    )
    return bool(found)
