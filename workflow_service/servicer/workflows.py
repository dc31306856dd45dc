"""The RPCs of workflows."""

from uuid import UUID

from service_kit import audit, auth
from service_kit.access import Role
from service_kit.db import Connection
from service_kit.errors import InvalidFields
from service_kit.idempotency import Context, always, once
from service_kit.ids import new_id
from service_kit.paging import page_of
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from workflow_service.conflicts import base_of, check_base
from workflow_service.errors import NoSuchVersion, VersionNotFound, WorkflowNotFound
from workflow_service.flow import Content
from workflow_service.messages import version_message, workflow_message
from workflow_service.model import VersionRef, Workflow, check_texts
from workflow_service.repository import versions, workflow_pages, workflows
from workflow_service.repository.new_versions import NewVersion, insert_version
from workflow_service.requests import workflow_filter
from workflow_service.servicer.rpcs import Rpcs, new_draft, owner_of, tag


class WorkflowRpcs(Rpcs):
    async def ListWorkflows(self, request: pb.ListWorkflowsRequest, context: Context) -> pb.ListWorkflowsResponse:
        project = auth.caller().project(UUID(request.project_id))
        page = page_of(request, workflow_pages.SORTS, default="-updated_at")
        async with self._pool.acquire() as db:
            found, total = await workflow_pages.list_workflows(db, workflow_filter(project.id, request), page)
        return pb.ListWorkflowsResponse(data=map(workflow_message, found), pagination=pb.Pagination(**page.of(total)))

    async def CreateWorkflow(self, request: pb.CreateWorkflowRequest, context: Context) -> pb.CreateWorkflowResponse:
        caller = auth.caller()
        project = caller.project(UUID(request.project_id))
        check_texts(name=request.name, description=request.description)
        content = await self._content(request)

        async def create(db: Connection) -> pb.CreateWorkflowResponse:
            async with db.transaction():
                workflow = await new_draft(db, caller, project.id, request, content, "CreateWorkflow")
            tag(context, workflow)
            return pb.CreateWorkflowResponse(data=workflow_message(workflow))

        return await once(self._pool, context, caller, always(project.id), request, pb.CreateWorkflowResponse, create)

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
            await audit.record(db, caller, locked.project_id, locked.id, "UpdateWorkflow", locked.id, **renamed(name))
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
            await audit.record(db, caller, workflow.project_id, workflow.id, "DeleteWorkflow", workflow.id)
        return pb.DeleteWorkflowResponse(message="deleted")

    async def SaveWorkflow(self, request: pb.SaveWorkflowRequest, context: Context) -> pb.SaveWorkflowResponse:
        caller = auth.caller()
        workflow_id = UUID(request.workflow_id)
        name = request.name if request.HasField("name") else None
        check_texts(description=request.description)
        content, base = await self._content(request), base_of(request, caller)
        project_of = owner_of(caller, workflow_id)

        new = NewVersion(caller, workflow_id, content, "SaveWorkflow", request.description, name, released_by_save=True)
        if base is None and caller.idempotency_key is None and not content.is_large:
            version = await self._saves.get(new)
            if version is not None:
                tag(context, version)
                return pb.SaveWorkflowResponse(data=version_message(version))

        async def save(db: Connection) -> pb.SaveWorkflowResponse:
            try:
                if base is None:
                    version = await insert_version(db, new)
                else:
                    async with db.transaction():
                        locked = await workflows.lock_workflow(db, caller.projects, workflow_id)
                        await check_base(db, locked, base, content)
                        version = await insert_version(db, new)
            except WorkflowNotFound:
                await project_of(db)  # raises RoleTooSmall when it is there to see, but not to save
                raise
            tag(context, version)
            return pb.SaveWorkflowResponse(data=version_message(version))

        turn = self._turns.of(workflow_id)
        return await once(self._pool, context, caller, project_of, request, pb.SaveWorkflowResponse, save, turn)

    async def ReleaseWorkflow(self, request: pb.ReleaseWorkflowRequest, context: Context) -> pb.ReleaseWorkflowResponse:
        caller = auth.caller()
        workflow_id = UUID(request.workflow_id)
        check_texts(name=request.name, description=request.description)
        content, base = await self._content(request), base_of(request, caller)
        project_of = owner_of(caller, workflow_id)

        async def release(db: Connection) -> pb.ReleaseWorkflowResponse:
            async with db.transaction():
                workflow = await workflows.lock_workflow(db, caller.visible, workflow_id)
                caller.require(workflow.project_id)
                if base is not None:
                    await check_base(db, workflow, base, content)
                workflow.check_releasable(content.digest)
                if workflow.is_draft:
                    new = NewVersion(caller, workflow_id, content, "ReleaseWorkflow", request.description, request.name)
                    await insert_version(db, new)
                else:
                    await workflows.accept_release(db, workflow_id, workflow.project_id, request.name, caller.id)
                    await audit.record(
                        db, caller, workflow.project_id, workflow_id, "ReleaseWorkflow", workflow_id, name=request.name
                    )
                released = await workflows.get_workflow(db, caller.projects, workflow_id)
            tag(context, released)
            return pb.ReleaseWorkflowResponse(data=workflow_message(released))

        return await once(self._pool, context, caller, project_of, request, pb.ReleaseWorkflowResponse, release)

    async def ForkWorkflow(self, request: pb.ForkWorkflowRequest, context: Context) -> pb.ForkWorkflowResponse:
        caller = auth.caller()
        source_id, fork_id = UUID(request.workflow_id), new_id()
        check_texts(name=request.name, description=request.description)
        content = await self._canvas(request)

        async def project_of(db: Connection) -> UUID:
            if request.HasField("project_id"):
                return caller.project(UUID(request.project_id)).id
            return await owner_of(caller, source_id)(db)

        async def fork(db: Connection) -> pb.ForkWorkflowResponse:
            async with db.transaction():
                source = await workflows.get_workflow(db, caller.visible, source_id)
                project_id = await project_of(db)
                copied = content or await self._source(db, source, request)
                await workflows.insert_workflow(db, project_id, fork_id, request.name, request.description, caller.id)
                new = NewVersion(caller, fork_id, copied, "ForkWorkflow", request.description)
                await insert_version(db, new)
                workflow = await workflows.get_workflow(db, [project_id], fork_id)
            tag(context, workflow)
            return pb.ForkWorkflowResponse(data=workflow_message(workflow))

        return await once(self._pool, context, caller, project_of, request, pb.ForkWorkflowResponse, fork)

    async def _canvas(self, request: pb.ForkWorkflowRequest) -> Content | None:
        """The unsaved canvas to fork, if there is one. Raises InvalidFields, InvalidFlow or FlowTooLarge."""
        given = [field for field in ("flow", "flow_ui") if request.HasField(field)]
        if not given:
            return None
        if request.HasField("workflow_version_id"):
            raise InvalidFields(dict.fromkeys(given, "cannot be given together with workflow_version_id"))
        if len(given) == 1:
            raise InvalidFields(dict.fromkeys({"flow", "flow_ui"} - set(given), "is required with the other"))
        return await self._content(request)

    async def _source(self, db: Connection, source: Workflow, request: pb.ForkWorkflowRequest) -> Content:
        """The version to fork, or else what the workflow shows: its latest version, or a draft's canvas."""
        if not request.HasField("workflow_version_id"):
            return await self._checked(source.flow or b"", source.flow_ui or b"")
        ref = VersionRef("id", id=UUID(request.workflow_version_id))
        try:
            return (await versions.get_version(db, [source.project_id], source.id, ref)).content
        except VersionNotFound:
            raise NoSuchVersion("workflow_version_id") from None

    async def ListAuditEvents(self, request: pb.ListAuditEventsRequest, context: Context) -> pb.ListAuditEventsResponse:
        caller, workflow_id = auth.caller(), UUID(request.workflow_id)
        page = page_of(request)
        async with self._pool.acquire() as db:
            events, total = await audit.list_events(db, caller.projects, workflow_id, page, pb)
        if not total:
            raise WorkflowNotFound(workflow_id)
        return pb.ListAuditEventsResponse(data=events, pagination=pb.Pagination(**page.of(total)))


def renamed(name: str | None) -> dict[str, str]:
    return {} if name is None else {"name": name}
