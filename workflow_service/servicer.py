"""The workflow contract's RPCs: read the message, do the work, write the message."""

from uuid import UUID

from google.api.httpbody_pb2 import HttpBody

from service_kit import auth
from service_kit.access import Role
from service_kit.db import Connection, Pool
from service_kit.idempotency import Context, ProjectOf, once
from service_kit.ids import new_id
from service_kit.paging import page_of
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2_grpc as rpc
from workflow_service.errors import VersionNotFound, VersionOfOtherWorkflow, WorkflowNotFound, WorkflowNotReleased
from workflow_service.sdk.export import export_zip
from workflow_service.flow import Content, check_content, parse_flow
from workflow_service.messages import version_message, workflow_message
from workflow_service.model import Version, VersionRef, Workflow, check_texts
from workflow_service.repository import versions, workflows
from workflow_service.requests import workflow_filter

# Numbers grow with time, so both names mean the same order.
VERSION_SORTS = {"version": "version", "created_at": "version"}


class WorkflowServicer(rpc.WorkflowServiceServicer):
    def __init__(self, pool: Pool, max_flow_bytes: int) -> None:
        self._pool = pool
        self._max_flow_bytes = max_flow_bytes

    def _content(
        self, request: pb.CreateWorkflowRequest | pb.SaveWorkflowRequest | pb.ReleaseWorkflowRequest
    ) -> Content:
        return check_content(request.flow.utf8, request.flow_ui.utf8, self._max_flow_bytes)

    async def ListWorkflows(self, request: pb.ListWorkflowsRequest, context: Context) -> pb.ListWorkflowsResponse:
        project = auth.caller().project(UUID(request.project_id))
        page = page_of(request, workflows.SORTS, default="-updated_at")
        async with self._pool.acquire() as db:
            found, total = await workflows.list_workflows(db, workflow_filter(project.id, request), page)
        return pb.ListWorkflowsResponse(data=map(workflow_message, found), pagination=pb.Pagination(**page.of(total)))

    async def CreateWorkflow(self, request: pb.CreateWorkflowRequest, context: Context) -> pb.CreateWorkflowResponse:
        caller = auth.caller()
        project = caller.project(UUID(request.project_id))
        check_texts(name=request.name, description=request.description)
        content = self._content(request)

        async def create(db: Connection) -> pb.CreateWorkflowResponse:
            workflow = await workflows.insert_draft(
                db, project.id, new_id(), request.name, request.description, content, caller.id
            )
            tag(context, workflow)
            return pb.CreateWorkflowResponse(data=workflow_message(workflow))

        async def project_of(db: Connection) -> UUID:
            return project.id

        return await once(self._pool, context, caller, project_of, request, pb.CreateWorkflowResponse, create)

    async def GetWorkflow(self, request: pb.GetWorkflowRequest, context: Context) -> pb.GetWorkflowResponse:
        async with self._pool.acquire() as db:
            workflow = await workflows.get_workflow(db, auth.caller().projects, UUID(request.workflow_id))
        tag(context, workflow)
        return pb.GetWorkflowResponse(data=workflow_message(workflow))

    async def UpdateWorkflow(self, request: pb.UpdateWorkflowRequest, context: Context) -> pb.UpdateWorkflowResponse:
        caller = auth.caller()
        name = request.name if request.HasField("name") else None
        description = request.description if request.HasField("description") else None
        check_texts(name=name, description=description)
        async with self._pool.acquire() as db, db.transaction():
            locked = await workflows.lock_workflow(db, caller.visible, UUID(request.workflow_id))
            caller.require(locked.project_id)
            await workflows.update_texts(db, locked.id, locked.project_id, name, description, caller.id)
            workflow = await workflows.get_workflow(db, caller.projects, locked.id)
        tag(context, workflow)
        return pb.UpdateWorkflowResponse(data=workflow_message(workflow))

    async def DeleteWorkflow(self, request: pb.DeleteWorkflowRequest, context: Context) -> pb.DeleteWorkflowResponse:
        caller = auth.caller()
        async with self._pool.acquire() as db, db.transaction():
            workflow = await workflows.lock_workflow(db, caller.visible, UUID(request.workflow_id))
            if workflow.is_draft:
                caller.require(workflow.project_id)
                await workflows.delete_draft(db, workflow.id, workflow.project_id)
            else:
                caller.require(workflow.project_id, Role.ADMIN)
                await workflows.hide_workflow(db, workflow.id, workflow.project_id, caller.id)
        return pb.DeleteWorkflowResponse(message="deleted")

    async def SaveWorkflow(self, request: pb.SaveWorkflowRequest, context: Context) -> pb.SaveWorkflowResponse:
        caller = auth.caller()
        workflow_id = UUID(request.workflow_id)
        name = request.name if request.HasField("name") else None
        check_texts(description=request.description)
        content = self._content(request)
        project_of = owner_of(caller, workflow_id)

        async def save(db: Connection) -> pb.SaveWorkflowResponse:
            try:
                version = await versions.insert_version(
                    db,
                    caller.projects,
                    workflow_id,
                    new_id(),
                    content,
                    name=name,
                    description=request.description,
                    released_by_save=True,
                    by=caller.id,
                    by_name=caller.name,
                )
            except WorkflowNotFound:
                await project_of(db)  # raises RoleTooSmall when it is there to see, but not to save
                raise
            tag(context, version)
            return pb.SaveWorkflowResponse(data=version_message(version))

        return await once(self._pool, context, caller, project_of, request, pb.SaveWorkflowResponse, save)

    async def ReleaseWorkflow(self, request: pb.ReleaseWorkflowRequest, context: Context) -> pb.ReleaseWorkflowResponse:
        caller = auth.caller()
        workflow_id = UUID(request.workflow_id)
        check_texts(name=request.name, description=request.description)
        content = self._content(request)
        project_of = owner_of(caller, workflow_id)

        async def release(db: Connection) -> pb.ReleaseWorkflowResponse:
            async with db.transaction():
                workflow = await workflows.lock_workflow(db, caller.visible, workflow_id)
                caller.require(workflow.project_id)
                workflow.check_releasable(content.digest)
                if workflow.is_draft:
                    await versions.insert_version(
                        db,
                        caller.projects,
                        workflow_id,
                        new_id(),
                        content,
                        name=request.name,
                        description=request.description,
                        released_by_save=False,
                        by=caller.id,
                        by_name=caller.name,
                    )
                else:
                    await workflows.accept_release(db, workflow_id, workflow.project_id, request.name, caller.id)
                released = await workflows.get_workflow(db, caller.projects, workflow_id)
            tag(context, released)
            return pb.ReleaseWorkflowResponse(data=workflow_message(released))

        return await once(self._pool, context, caller, project_of, request, pb.ReleaseWorkflowResponse, release)

    async def ExportWorkflow(self, request: pb.ExportWorkflowRequest, context: Context) -> pb.ExportWorkflowResponse:
        auth.caller().project(UUID(request.project_id))
        archive, _ = export_zip(parse_flow(request.flow.utf8, self._max_flow_bytes))
        return pb.ExportWorkflowResponse(data=HttpBody(content_type="application/octet-stream", data=archive))

    async def ListVersions(self, request: pb.ListVersionsRequest, context: Context) -> pb.ListVersionsResponse:
        page = page_of(request, VERSION_SORTS, default="-version")
        newest_first = page.order_by.startswith("version DESC")
        async with self._pool.acquire() as db:
            found, total = await versions.list_versions(
                db, auth.caller().projects, UUID(request.workflow_id), page, newest_first=newest_first
            )
        return pb.ListVersionsResponse(data=map(version_message, found), pagination=pb.Pagination(**page.of(total)))

    async def GetVersion(self, request: pb.GetVersionRequest, context: Context) -> pb.GetVersionResponse:
        ref = VersionRef.parse(request.version)
        async with self._pool.acquire() as db:
            version = await versions.get_version(db, auth.caller().projects, UUID(request.workflow_id), ref)
        tag(context, version)
        return pb.GetVersionResponse(data=version_message(version))

    async def ArchiveVersion(self, request: pb.ArchiveVersionRequest, context: Context) -> pb.ArchiveVersionResponse:
        version = await self._set_archived(UUID(request.workflow_id), VersionRef.parse(request.version), archived=True)
        tag(context, version)
        return pb.ArchiveVersionResponse(data=version_message(version))

    async def UnarchiveVersion(
        self, request: pb.UnarchiveVersionRequest, context: Context
    ) -> pb.UnarchiveVersionResponse:
        version = await self._set_archived(UUID(request.workflow_id), VersionRef.parse(request.version), archived=False)
        tag(context, version)
        return pb.UnarchiveVersionResponse(data=version_message(version))

    async def _set_archived(self, workflow_id: UUID, ref: VersionRef, *, archived: bool) -> Version:
        caller = auth.caller()
        async with self._pool.acquire() as db, db.transaction():
            workflow = await workflows.lock_workflow(db, caller.visible, workflow_id)
            caller.require(workflow.project_id)
            version = await versions.get_version_head(db, caller.projects, workflow_id, ref)
            if archived:
                version.check_archivable()
            if archived != (version.archived_at is not None):
                await workflows.count_archived(db, workflow_id, workflow.project_id, 1 if archived else -1)
                version = await versions.update_archived(
                    db, workflow.project_id, version.id, by=caller.id if archived else None
                )
        return version

    async def ResolveVersion(self, request: pb.ResolveVersionRequest, context: Context) -> pb.ResolveVersionResponse:
        project = auth.caller().project(UUID(request.project_id))
        workflow_id = UUID(request.workflow_id)
        given = UUID(request.workflow_version_id) if request.HasField("workflow_version_id") else None
        async with self._pool.acquire() as db:
            workflow = await workflows.get_workflow_head(db, [project.id], workflow_id)
            if workflow.is_draft:
                raise WorkflowNotReleased(workflow_id)
            try:
                ref = VersionRef("id", id=given) if given else VersionRef("latest")
                get = versions.get_version_head if request.omit_flow else versions.get_version
                version = await get(db, [project.id], workflow_id, ref)
            except VersionNotFound:
                if given and await versions.version_exists(db, project.id, given):
                    raise VersionOfOtherWorkflow(given) from None
                raise
        message = version_message(version)
        message.ClearField("flow_ui")
        return pb.ResolveVersionResponse(workflow=workflow_message(workflow), version=message)


def tag(context: Context, answered: Workflow | Version) -> None:
    context.set_trailing_metadata((("etag", answered.etag),))


def owner_of(caller: auth.Caller, workflow_id: UUID) -> ProjectOf:
    """Finds the project that owns a workflow. That raises WorkflowNotFound or RoleTooSmall."""

    async def project_of(db: Connection) -> UUID:
        project_id = await workflows.find_project(db, caller.visible, workflow_id)
        caller.require(project_id)
        return project_id

    return project_of
