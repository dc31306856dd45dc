"""Finds or locks the app that a call names, and requires the call's role in its project."""

from uuid import UUID

from deploy_service.repository import apps, deployments
from service_kit.access.caller import Caller
from service_kit.access.file import Project
from service_kit.db import Connection
from service_kit.idempotency import ProjectOf


async def lock_app(db: Connection, caller: Caller, app_id: UUID) -> Project:
    """Lock the app and return its project. Other changes of the app wait until the transaction ends.

    Raises AppNotFound or InsufficientRole.
    """
    return caller.project(await apps.lock_app(db, caller.visible_projects, app_id))


async def app_of_deployment(db: Connection, caller: Caller, deployment_id: UUID) -> tuple[UUID, UUID]:
    """The ids of the deployment's project and app. Raises DeploymentNotFound or InsufficientRole."""
    project_id, app_id = await deployments.find_app_of(db, caller.visible_projects, deployment_id)
    caller.require(project_id)
    return project_id, app_id


def project_of_app(caller: Caller, app_id: UUID) -> ProjectOf:
    """Find the project that owns the app. Raises AppNotFound or InsufficientRole."""

    async def project_of(db: Connection) -> UUID:
        project_id = await apps.find_project(db, caller.visible_projects, app_id)
        caller.require(project_id)
        return project_id

    return project_of
