"""The RPCs about workflows."""

from uuid import UUID

from service_kit import audit
from service_kit.access.caller import current_caller
from service_kit.db import Connection
from service_kit.errors import InvalidFields
from service_kit.fields import optional
from service_kit.idempotency import Context, IdempotentCall, in_project
from service_kit.ids import new_id
from service_kit.paging import page_of
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.times import between
from workflow_service.conflicts import base_of
from workflow_service.errors import NoSuchVersion, VersionNotFound, WorkflowNotFound
from workflow_service.flow import Content
from workflow_service.messages import version_message, workflow_message
from workflow_service.model import Version, VersionRef, Workflow, check_texts
from workflow_service.permissions import lock_workflow, lock_workflow_to_delete, project_of_workflow
from workflow_service.repository import audit_events, versions, workflow_pages, workflows
from workflow_service.repository.version_inserts import NewVersion, insert_version
from workflow_service.requests import workflow_filter
from workflow_service.servicer.base import ServicerBase, new_draft, tag


class WorkflowMethods(ServicerBase):
    async def ListWorkflows(self, request: pb.ListWorkflowsRequest, context: Context) -> pb.ListWorkflowsResponse:
        project = current_caller().project(UUID(request.project_id))
        page = page_of(request, workflow_pages.SORTS, default="-updated_at")
        async with self._pages.acquire() as db:
            found, total = await workflow_pages.list_workflows(db, workflow_filter(project.id, request), page)
        return pb.ListWorkflowsResponse(data=map(workflow_message, found), pagination=pb.Pagination(**page.of(total)))

    async def CreateWorkflow(self, request: pb.CreateWorkflowRequest, context: Context) -> pb.CreateWorkflowResponse:
        caller = current_caller()
        project = caller.project(UUID(request.project_id))
        check_texts(name=request.name, description=request.description)
        content = await self._content(request)

        async def create(db: Connection) -> pb.CreateWorkflowResponse:
            async with db.transaction():
                workflow = await new_draft(db, caller, project.id, request, content, "CreateWorkflow")
            tag(context, workflow)
            return pb.CreateWorkflowResponse(data=workflow_message(workflow))

        call = IdempotentCall(self._pool, context, request, pb.CreateWorkflowResponse, in_project(project.id))
        return await call.run(create)

    async def GetWorkflow(self, request: pb.GetWorkflowRequest, context: Context) -> pb.GetWorkflowResponse:
        async with self._pool.acquire() as db:
            workflow = await workflows.get_workflow(db, current_caller().permitted_projects, UUID(request.workflow_id))
        tag(context, workflow)
        return pb.GetWorkflowResponse(data=workflow_message(workflow))

    async def UpdateWorkflow(self, request: pb.UpdateWorkflowRequest, context: Context) -> pb.UpdateWorkflowResponse:
        caller = current_caller()
        name, description = optional(request, "name"), optional(request, "description")
        check_texts(name=name, description=description)
        workflow_id = UUID(request.workflow_id)
        async with self._pool.acquire_to_change(workflow_id) as db, db.transaction():
            locked = await lock_workflow(db, caller, workflow_id)
            if await workflows.update_texts(db, locked.id, locked.project_id, name, description, caller.id):
                await audit.record(
                    db, caller, locked.project_id, locked.id, "UpdateWorkflow", locked.id, **renamed(name)
                )
            workflow = await workflows.get_workflow(db, caller.permitted_projects, locked.id)
        tag(context, workflow)
        return pb.UpdateWorkflowResponse(data=workflow_message(workflow))

    async def DeleteWorkflow(self, request: pb.DeleteWorkflowRequest, context: Context) -> pb.DeleteWorkflowResponse:
        caller, workflow_id = current_caller(), UUID(request.workflow_id)
        async with self._pool.acquire_to_change(workflow_id) as db, db.transaction():
            workflow = await lock_workflow_to_delete(db, caller, workflow_id)
            if workflow.is_draft:
                await workflows.delete_draft(db, workflow.id, workflow.project_id)
            else:
                await workflows.hide_workflow(db, workflow.id, workflow.project_id, caller.id)
            await audit.record(db, caller, workflow.project_id, workflow.id, "DeleteWorkflow", workflow.id)
        self._tell(workflow_id)
        # A draft has no version that could be live.
        live = not workflow.is_draft
        warnings = await self._deploys.warnings(context, caller, workflow.project_id, workflow_id) if live else []
        return pb.DeleteWorkflowResponse(message="deleted", warnings=warnings)

    async def SaveWorkflow(self, request: pb.SaveWorkflowRequest, context: Context) -> pb.SaveWorkflowResponse:
        caller, workflow_id = current_caller(), UUID(request.workflow_id)
        check_texts(description=request.description)
        content, base = await self._content(request), base_of(request, caller)
        name = optional(request, "name")
        new = NewVersion(caller, workflow_id, content, "SaveWorkflow", request.description, name, released_by_save=True)
        project_of = project_of_workflow(caller, workflow_id)
        call = IdempotentCall(self._pool, context, request, pb.SaveWorkflowResponse, project_of)
        warnings = await self._warnings_of_secrets(content)

        def answer(version: Version) -> pb.SaveWorkflowResponse:
            tag(context, version)
            return pb.SaveWorkflowResponse(data=version_message(version), warnings=warnings)

        saved = await self._saver.save(call, new, base, answer)
        self._tell(workflow_id)
        return saved

    async def ReleaseWorkflow(self, request: pb.ReleaseWorkflowRequest, context: Context) -> pb.ReleaseWorkflowResponse:
        caller, workflow_id = current_caller(), UUID(request.workflow_id)
        check_texts(name=request.name, description=request.description)
        content, base = await self._content(request), base_of(request, caller)
        new = NewVersion(caller, workflow_id, content, "ReleaseWorkflow", request.description, request.name)
        project_of = project_of_workflow(caller, workflow_id)
        call = IdempotentCall(self._pool, context, request, pb.ReleaseWorkflowResponse, project_of)
        warnings = await self._warnings_of_secrets(content)

        def answer(workflow: Workflow) -> pb.ReleaseWorkflowResponse:
            tag(context, workflow)
            return pb.ReleaseWorkflowResponse(data=workflow_message(workflow), warnings=warnings)

        released = await self._saver.release(call, new, base, answer)
        self._tell(workflow_id)
        return released

    async def ForkWorkflow(self, request: pb.ForkWorkflowRequest, context: Context) -> pb.ForkWorkflowResponse:
        caller = current_caller()
        source_id, fork_id = UUID(request.workflow_id), new_id()
        check_texts(name=request.name, description=request.description)

        async def project_of(db: Connection) -> UUID:
            if request.HasField("project_id"):
                return caller.project(UUID(request.project_id)).id
            return await project_of_workflow(caller, source_id)(db)

        call = IdempotentCall(self._pool, context, request, pb.ForkWorkflowResponse, project_of)
        if (kept := await call.replay()) is not None:
            return kept
        content = await self._canvas(request) or await self._draft_canvas(request, source_id)

        async def fork(db: Connection) -> pb.ForkWorkflowResponse:
            async with db.transaction():
                source = await workflows.get_workflow(db, caller.visible_projects, source_id)
                project_id = await project_of(db)
                copied = content or await self._version(db, source, request)
                await workflows.insert_workflow(db, project_id, fork_id, request.name, request.description, caller.id)
                new = NewVersion(caller, fork_id, copied, "ForkWorkflow", request.description)
                await insert_version(db, new)
                workflow = await workflows.get_workflow(db, [project_id], fork_id)
            tag(context, workflow)
            return pb.ForkWorkflowResponse(data=workflow_message(workflow))

        return await call.run(fork)

    async def _canvas(self, request: pb.ForkWorkflowRequest) -> Content | None:
        """The unsaved canvas to fork, if there is one. Raises InvalidFields, InvalidFlow or FlowTooLarge."""
        given = [field for field in ("flow", "flow_ui") if request.HasField(field)]
        if not given:
            return None
        if request.HasField("workflow_version_id"):
            raise InvalidFields(dict.fromkeys(given, "must not be given together with workflow_version_id"))
        if len(given) == 1:
            raise InvalidFields(
                dict.fromkeys({"flow", "flow_ui"} - set(given), "must be given together with the other")
            )
        return await self._content(request)

    async def _draft_canvas(self, request: pb.ForkWorkflowRequest, source_id: UUID) -> Content | None:
        """The canvas of a draft, if the draft is the source of the fork. Holds no connection while it checks."""
        if request.HasField("workflow_version_id"):
            return None
        async with self._pool.acquire() as db:
            source = await workflows.get_workflow(db, current_caller().visible_projects, source_id)
        if not source.is_draft:
            return None
        return await self._documents.check(source.flow or b"", source.flow_ui or b"")

    async def _version(self, db: Connection, source: Workflow, request: pb.ForkWorkflowRequest) -> Content:
        """The version to fork, by default the latest."""
        ref = VersionRef("latest")
        if request.HasField("workflow_version_id"):
            ref = VersionRef.of_id(request.workflow_version_id)
        try:
            return (await versions.get_version(db, [source.project_id], source.id, ref)).content
        except VersionNotFound:
            raise NoSuchVersion("workflow_version_id") from None

    async def ListAuditEvents(self, request: pb.ListAuditEventsRequest, context: Context) -> pb.ListAuditEventsResponse:
        caller, workflow_id = current_caller(), UUID(request.workflow_id)
        page = page_of(request)
        async with self._pages.acquire() as db:
            events, total = await audit.list_events(db, caller.permitted_projects, workflow_id, page, pb)
        if not total:
            raise WorkflowNotFound(workflow_id)
        return pb.ListAuditEventsResponse(data=events, pagination=pb.Pagination(**page.of(total)))

    async def ListProjectWorkflowAuditEvents(
        self, request: pb.ListProjectWorkflowAuditEventsRequest, context: Context
    ) -> pb.ListProjectWorkflowAuditEventsResponse:
        project = current_caller().project(UUID(request.project_id))
        page, (first, last) = page_of(request), between("created_at", request.created_at)
        async with self._pages.acquire() as db:
            found, total = await audit_events.list_project_events(db, project.id, first, last, page)
        return pb.ListProjectWorkflowAuditEventsResponse(
            data=audit.messages(found, pb, ("workflow_id", "workflow_name")), pagination=pb.Pagination(**page.of(total))
        )


def renamed(name: str | None) -> dict[str, str]:
    return {} if name is None else {"name": name}
