"""Checks whether the app that a call names exists for its caller."""

from collections.abc import Callable
from uuid import UUID

from run_service.errors import AppNotFound
from run_service.repository import runs
from service_kit.access.caller import Caller
from service_kit.array_parameters import Projects
from service_kit.db import Connection

ProjectOf = Callable[[UUID], UUID | None]
"""The project of an app, if the routes contain it."""


async def projects_of_app(db: Connection, caller: Caller, app_id: UUID, project_of: ProjectOf) -> Projects:
    """The projects in which to look for the app's runs. Raises AppNotFound.

    An app exists for the caller if the routes have it in one of the caller's projects. An app without a route, for
    example a deleted one, exists if it has runs in one of them.
    """
    projects = caller.permitted_projects
    if project_of(app_id) not in projects and not await runs.has_runs(db, projects, app_id):
        raise AppNotFound(app_id)
    return projects
