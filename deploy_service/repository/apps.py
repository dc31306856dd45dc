"""The table apps, and the live deployments of each app."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias
from uuid import UUID

from deploy_service.errors import AppNotFound
from deploy_service.model import App
from deploy_service.repository.deployments import COLUMNS, deployment_from
from service_kit.array_parameters import Projects, by_caller
from service_kit.db import Connection, Row

APP_COLUMNS = """
    project_id, id, name, description, access_type, deployment_count,
    created_at, created_by, updated_at, updated_by, archived_at, archived_by """
"""The columns of the table that APP and LIVE read."""
APP = """
    a.name AS app_name, a.description AS app_description, a.access_type,
    a.created_at AS app_created_at, a.created_by AS app_created_by, a.updated_at, a.updated_by,
    a.archived_at, a.archived_by,
    a.project_id AS app_project_id, a.id AS found_app_id, newest.id AS newest_deployment_id, """
LIVE = """
    LEFT JOIN deployments newest
        ON newest.project_id = a.project_id AND newest.app_id = a.id AND newest.number = a.deployment_count
    LEFT JOIN deployments d
        ON d.project_id = a.project_id AND d.app_id = a.id AND d.live_from IS NOT NULL AND d.live_to IS NULL """


async def insert_app(
    db: Connection, project_id: UUID, app_id: UUID, name: str, description: str, access_type: str, by: UUID
) -> None:
    await db.execute(
        """
        INSERT INTO apps (project_id, id, name, description, access_type, created_by, updated_by)
        VALUES ($1, $2, $3, $4, $5, $6, $6)
        """,
        project_id,
        app_id,
        name,
        description,
        access_type,
        by,
    )


Key: TypeAlias = tuple[Projects, UUID]
"""The projects that the caller may read, and an app's id."""
_FIND = (
    "SELECT k.caller, "
    + APP
    + COLUMNS
    + """
    FROM unnest($2::int[], $3::uuid[]) AS k (caller, app_id)
    JOIN apps a ON a.project_id = ANY(($1::text[])[k.caller]::uuid[]) AND a.id = k.app_id AND a.deleted_at IS NULL """
    + LIVE
)


async def find_apps(db: Connection, keys: Sequence[Key]) -> list[App | AppNotFound]:
    """The app or AppNotFound for each key, in order."""
    sets, callers = by_caller(projects for projects, _ in keys)
    asked = [(caller, app_id) for caller, (_, app_id) in zip(callers, keys, strict=True)]
    rows = await db.fetch(_FIND, sets, *map(list, zip(*set(asked), strict=True)))
    seen = {(row["caller"], row["found_app_id"]) for row in rows}
    found = {app.id: app for app in apps_from(rows)}
    return [found[key[1]] if key in seen else AppNotFound(key[1]) for key in asked]


async def get_app(db: Connection, projects: Sequence[UUID], app_id: UUID) -> App:
    """Raises AppNotFound."""
    (found,) = await find_apps(db, [(projects, app_id)])
    if isinstance(found, AppNotFound):
        raise found
    return found


async def find_project(db: Connection, projects: Sequence[UUID], app_id: UUID) -> UUID:
    """The project that owns an app. Raises AppNotFound."""
    project_id: UUID | None = await db.fetchval(
        "SELECT project_id FROM apps WHERE project_id = ANY($1) AND id = $2 AND deleted_at IS NULL", projects, app_id
    )
    if project_id is None:
        raise AppNotFound(app_id)
    return project_id


async def find_project_ever(db: Connection, projects: Sequence[UUID], app_id: UUID) -> UUID:
    """The project of an app, even if it is deleted. Raises AppNotFound."""
    project_id: UUID | None = await db.fetchval(
        "SELECT project_id FROM apps WHERE project_id = ANY($1) AND id = $2", projects, app_id
    )
    if project_id is None:
        raise AppNotFound(app_id)
    return project_id


async def update_app(
    db: Connection,
    projects: Sequence[UUID],
    app_id: UUID,
    name: str | None,
    description: str | None,
    access_type: str | None,
    by: UUID,
) -> bool:
    """Fields that are None do not change. False if nothing changes."""
    updated = await db.fetchval(
        """
        UPDATE apps
        SET name = coalesce($3, name), description = coalesce($4, description),
            access_type = coalesce($5, access_type), updated_at = clock_timestamp(), updated_by = $6
        WHERE project_id = ANY($1) AND id = $2 AND deleted_at IS NULL
            AND (name <> $3 OR description <> $4 OR access_type <> $5)
        RETURNING true
        """,
        projects,
        app_id,
        name,
        description,
        access_type,
        by,
    )
    return bool(updated)


async def lock_app(db: Connection, projects: Sequence[UUID], app_id: UUID) -> UUID:
    """Lock the app and return its project. Other changes of the app, its live deployments or its marks wait until the
    transaction ends.

    Raises AppNotFound.
    """
    project_id: UUID | None = await db.fetchval(
        """
        UPDATE apps SET revision = revision + 1
        WHERE project_id = ANY($1) AND id = $2 AND deleted_at IS NULL
        RETURNING project_id
        """,
        projects,
        app_id,
    )
    if project_id is None:
        raise AppNotFound(app_id)
    return project_id


async def get_revision(db: Connection, project_id: UUID, app_id: UUID) -> int:
    """The app's revision. The transaction must have locked the app."""
    revision: int = await db.fetchval("SELECT revision FROM apps WHERE project_id = $1 AND id = $2", project_id, app_id)
    return revision


async def archive_app(db: Connection, project_id: UUID, app_id: UUID, by: UUID) -> bool:
    """False when the app is already archived."""
    archived = await db.fetchval(
        """
        UPDATE apps SET archived_at = clock_timestamp(), archived_by = $3
        WHERE project_id = $1 AND id = $2 AND archived_at IS NULL RETURNING true
        """,
        project_id,
        app_id,
        by,
    )
    return bool(archived)


async def unarchive_app(db: Connection, project_id: UUID, app_id: UUID) -> bool:
    """False when the app is not archived."""
    unarchived = await db.fetchval(
        """
        UPDATE apps SET archived_at = NULL, archived_by = NULL
        WHERE project_id = $1 AND id = $2 AND archived_at IS NOT NULL RETURNING true
        """,
        project_id,
        app_id,
    )
    return bool(unarchived)


async def hide_app(db: Connection, project_id: UUID, app_id: UUID, by: UUID) -> None:
    await db.execute(
        "UPDATE apps SET deleted_at = clock_timestamp(), deleted_by = $3 WHERE project_id = $1 AND id = $2",
        project_id,
        app_id,
        by,
    )


def apps_from(rows: Iterable[Row]) -> Iterable[App]:
    """One app for each group of consecutive rows. Each row has one live deployment of the app, or NULLs."""
    apps: dict[UUID, App] = {}
    for row in rows:
        app = apps.get(row["found_app_id"])
        if app is None:
            app = apps[row["found_app_id"]] = App(
                row["app_project_id"],
                row["found_app_id"],
                row["app_name"],
                row["app_description"],
                row["access_type"],
                row["app_created_at"],
                row["app_created_by"],
                row["updated_at"],
                row["updated_by"],
                row["archived_at"],
                row["archived_by"],
                row["newest_deployment_id"],
                {},
            )
        if row["number"] is not None:
            deployment = deployment_from(row)
            app.live[deployment.environment] = deployment
    return apps.values()
