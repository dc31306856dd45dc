"""Finds or locks the workflow that a call names, and requires the call's role in its project."""

from uuid import UUID

from service_kit.access.caller import Caller
from service_kit.access.file import Role
from service_kit.db import Connection
from service_kit.idempotency import ProjectOf
from workflow_service.model import LockedWorkflow
from workflow_service.repository import workflows


async def lock_workflow(db: Connection, caller: Caller, workflow_id: UUID) -> LockedWorkflow:
    """Lock the workflow: other changes of it wait until the transaction ends. Raises WorkflowNotFound or
    InsufficientRole."""
    workflow = await workflows.lock_workflow(db, caller.visible_projects, workflow_id)
    caller.require(workflow.project_id)
    return workflow


async def lock_workflow_to_delete(db: Connection, caller: Caller, workflow_id: UUID) -> LockedWorkflow:
    """Like `lock_workflow`, but a released workflow requires the role admin."""
    workflow = await workflows.lock_workflow(db, caller.visible_projects, workflow_id)
    caller.require(workflow.project_id, None if workflow.is_draft else Role.ADMIN)
    return workflow


def project_of_workflow(caller: Caller, workflow_id: UUID) -> ProjectOf:
    """Find the project that owns the workflow. Raises WorkflowNotFound or InsufficientRole."""

    async def project_of(db: Connection) -> UUID:
        project_id = await workflows.find_project(db, caller.visible_projects, workflow_id)
        caller.require(project_id)
        return project_id

    return project_of
