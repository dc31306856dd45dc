"""The tables variables and variable_revisions. The environment '' means all of an app's environments."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from deploy_service.sealing import Place
from service_kit.db import Connection, Row, only
from service_kit.sealing import Sealed

EVERY_ENVIRONMENT = ""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable as it is stored, with its value encrypted."""

    project_id: UUID
    app_id: UUID
    name: str
    environment: str
    is_secret: bool
    sealed: Sealed
    updated_at: datetime
    updated_by: UUID

    @property
    def place(self) -> Place:
        return self.project_id, self.app_id, self.environment, self.name, self.is_secret


_COLUMNS = "project_id, app_id, name, environment, is_secret, key_id, sealed, updated_at, updated_by"


async def list_variables(db: Connection, project_id: UUID, app_id: UUID) -> list[Variable]:
    """All variables of an app by name. Those for all environments come first."""
    rows = await db.fetch(
        "SELECT " + _COLUMNS + " FROM variables WHERE project_id = $1 AND app_id = $2 ORDER BY name, environment",
        project_id,
        app_id,
    )
    return [_variable(row) for row in rows]


async def count_variables(db: Connection, project_id: UUID, app_id: UUID) -> int:
    count: int = await db.fetchval(
        "SELECT count(*) FROM variables WHERE project_id = $1 AND app_id = $2", project_id, app_id
    )
    return count


async def find_variable(db: Connection, project_id: UUID, app_id: UUID, name: str, environment: str) -> Variable | None:
    row = await db.fetchrow(
        "SELECT "
        + _COLUMNS
        + " FROM variables WHERE project_id = $1 AND app_id = $2 AND name = $3 AND environment = $4",
        project_id,
        app_id,
        name,
        environment,
    )
    return _variable(row) if row else None


async def find_in_force(db: Connection, project_id: UUID, app_id: UUID, environment: str) -> tuple[list[Variable], int]:
    """The variables of an environment and their revision, at one moment. Its own override those for all
    environments."""
    rows = await db.fetch(
        """
        SELECT (
            SELECT coalesce(sum(revision), 0)::bigint FROM variable_revisions
            WHERE project_id = $1 AND app_id = $2 AND environment IN ('', $3)
        ) AS revision, v.*
        FROM (SELECT 1) AS one LEFT JOIN LATERAL (
            SELECT DISTINCT ON (name) """
        + _COLUMNS
        + """ FROM variables
            WHERE project_id = $1 AND app_id = $2 AND environment IN ('', $3)
            ORDER BY name, environment DESC
        ) v ON true
        """,
        project_id,
        app_id,
        environment,
    )
    return [_variable(row) for row in rows if row["name"] is not None], rows[0]["revision"]


async def put_variable(
    db: Connection,
    project_id: UUID,
    app_id: UUID,
    name: str,
    environment: str,
    is_secret: bool,
    sealed: Sealed,
    by: UUID,
) -> Variable:
    """The caller must have locked the app."""
    row = await db.fetchrow(
        """
        INSERT INTO variables (project_id, app_id, name, environment, is_secret, key_id, sealed, updated_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (project_id, app_id, name, environment) DO UPDATE
        SET is_secret = excluded.is_secret, key_id = excluded.key_id, sealed = excluded.sealed,
            updated_at = clock_timestamp(), updated_by = excluded.updated_by
        RETURNING """
        + _COLUMNS,
        project_id,
        app_id,
        name,
        environment,
        is_secret,
        sealed.key_id,
        sealed.content,
        by,
    )
    await _count_change(db, project_id, app_id, environment)
    return _variable(only(row))


async def delete_variable(db: Connection, project_id: UUID, app_id: UUID, name: str, environment: str) -> bool:
    """False if the variable does not exist. The caller must have locked the app."""
    deleted = await db.fetchval(
        """
        DELETE FROM variables WHERE project_id = $1 AND app_id = $2 AND name = $3 AND environment = $4 RETURNING true
        """,
        project_id,
        app_id,
        name,
        environment,
    )
    if deleted:
        await _count_change(db, project_id, app_id, environment)
    return bool(deleted)


async def _count_change(db: Connection, project_id: UUID, app_id: UUID, environment: str) -> None:
    await db.execute(
        """
        INSERT INTO variable_revisions AS r (project_id, app_id, environment, revision) VALUES ($1, $2, $3, 1)
        ON CONFLICT (project_id, app_id, environment) DO UPDATE SET revision = r.revision + 1
        """,
        project_id,
        app_id,
        environment,
    )


def _variable(row: Row) -> Variable:
    return Variable(
        row["project_id"],
        row["app_id"],
        row["name"],
        row["environment"],
        row["is_secret"],
        Sealed(row["key_id"], row["sealed"]),
        row["updated_at"],
        row["updated_by"],
    )
