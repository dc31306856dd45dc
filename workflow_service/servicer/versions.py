"""The RPCs about versions."""

from functools import partial
from hashlib import sha256
from uuid import UUID

from google.api.httpbody_pb2 import HttpBody

from service_kit import audit
from service_kit.access.caller import current_caller
from service_kit.db import Connection
from service_kit.errors import DocumentTooComplex, ServiceError
from service_kit.idempotency import Context, IdempotentCall
from service_kit.paging import page_of
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from workflow_service.dynamiq_config.problems import Problem
from workflow_service.errors import (
    VersionDeleted,
    VersionLabeled,
    VersionNotFound,
    VersionOfOtherWorkflow,
    WorkflowNotReleased,
)
from workflow_service.messages import version_message
from workflow_service.model import Version, VersionRef, check_texts
from workflow_service.permissions import lock_workflow, project_of_workflow
from workflow_service.repository import labels, version_pages, versions, workflows
from workflow_service.repository.version_inserts import NewVersion, insert_version
from workflow_service.requests import chosen_versions
from workflow_service.servicer.base import MAX_KEPT_LOADABLES_BYTES, MAX_WARNINGS, ServicerBase, tag

# Numbers increase with time, so both names mean the same order.
SORTS = {"version": "version", "created_at": "version"}


class VersionMethods(ServicerBase):
    async def ListVersions(self, request: pb.ListVersionsRequest, context: Context) -> pb.ListVersionsResponse:
        page = page_of(request, SORTS, default="-version")
        projects, workflow_id = current_caller().permitted_projects, UUID(request.workflow_id)
        chosen = chosen_versions(request)
        newest_first, with_archived = page.order_by.startswith("version DESC"), request.include_archived
        async with self._pages.acquire() as db:
            if chosen is None:
                found, total = await version_pages.list_versions(
                    db, projects, workflow_id, page, newest_first=newest_first, with_archived=with_archived
                )
            else:
                found, total = await version_pages.list_chosen_versions(
                    db, projects, workflow_id, chosen, page, newest_first=newest_first, with_archived=with_archived
                )
        return pb.ListVersionsResponse(data=map(version_message, found), pagination=pb.Pagination(**page.of(total)))

    async def GetVersion(self, request: pb.GetVersionRequest, context: Context) -> pb.GetVersionResponse:
        ref = VersionRef.parse(request.version)
        answer = await self._reads.get(current_caller().permitted_projects, UUID(request.workflow_id), ref)
        context.set_trailing_metadata((("etag", answer.etag),))
        return answer.response

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
        caller = current_caller()
        async with self._pool.acquire_to_change(workflow_id) as db, db.transaction():
            workflow = await lock_workflow(db, caller, workflow_id)
            version = await versions.get_version_head(db, caller.permitted_projects, workflow_id, ref)
            if archived:
                version.check_archivable()
            if archived != (version.archived_at is not None):
                await workflows.count_hidden(db, workflow_id, workflow.project_id, archived=1 if archived else -1)
                version = await versions.update_archived(
                    db, workflow.project_id, version.id, by=caller.id if archived else None
                )
                action = "ArchiveVersion" if archived else "UnarchiveVersion"
                await audit.record(
                    db, caller, workflow.project_id, workflow_id, action, version.id, version=version.label
                )
        self._tell(workflow_id)
        return version

    async def SetVersionNote(self, request: pb.SetVersionNoteRequest, context: Context) -> pb.SetVersionNoteResponse:
        caller, workflow_id = current_caller(), UUID(request.workflow_id)
        ref, note = VersionRef.parse(request.version), request.note if request.note.strip() else None
        check_texts(note=note)
        async with self._pool.acquire_to_change(workflow_id) as db, db.transaction():
            workflow = await lock_workflow(db, caller, workflow_id)
            version = await versions.get_version_head(db, caller.permitted_projects, workflow_id, ref)
            if note != version.note:
                version = await versions.update_note(db, workflow.project_id, version.id, note, caller.id)
                await audit.record(
                    db, caller, workflow.project_id, workflow_id, "SetVersionNote", version.id, version=version.label
                )
        self._tell(workflow_id)
        tag(context, version)
        return pb.SetVersionNoteResponse(data=version_message(version))

    async def DeleteVersion(self, request: pb.DeleteVersionRequest, context: Context) -> pb.DeleteVersionResponse:
        caller, workflow_id = current_caller(), UUID(request.workflow_id)
        ref = VersionRef.parse(request.version)
        async with self._pool.acquire_to_change(workflow_id) as db, db.transaction():
            workflow = await lock_workflow(db, caller, workflow_id)
            version = await versions.get_version_head(db, caller.permitted_projects, workflow_id, ref)
            version.check_deletable()
            if names := await labels.find_names(db, workflow.project_id, workflow_id, version.number):
                raise VersionLabeled(", ".join(names))
            await workflows.count_hidden(
                db, workflow_id, workflow.project_id, archived=-1 if version.archived_at else 0, deleted=1
            )
            identical = await versions.hide_version(db, workflow.project_id, version.id, caller.id)
            details = {"version": version.label} | ({} if identical is None else {"identical": f"v{identical}"})
            await audit.record(db, caller, workflow.project_id, workflow_id, "DeleteVersion", version.id, **details)
        self._tell(workflow_id)
        warnings = await self._deploys.warnings(context, caller, workflow.project_id, workflow_id, version.id)
        return pb.DeleteVersionResponse(message="deleted", warnings=warnings)

    async def RestoreVersion(self, request: pb.RestoreVersionRequest, context: Context) -> pb.RestoreVersionResponse:
        caller, workflow_id = current_caller(), UUID(request.workflow_id)
        ref = VersionRef.parse(request.version)
        check_texts(description=request.description)

        async def restore(db: Connection) -> pb.RestoreVersionResponse:
            async with db.transaction():
                await lock_workflow(db, caller, workflow_id)
                old = await versions.get_version(db, caller.permitted_projects, workflow_id, ref)
                description = request.description if request.HasField("description") else f"Restored from {old.label}."
                new = NewVersion(caller, workflow_id, old.content, "RestoreVersion", description)
                version = await insert_version(db, new)
            tag(context, version)
            return pb.RestoreVersionResponse(data=version_message(version))

        project_of = project_of_workflow(caller, workflow_id)
        call = IdempotentCall(self._pool, context, request, pb.RestoreVersionResponse, project_of)
        restored = await call.run(restore, changed=workflow_id)
        self._tell(workflow_id)
        return restored

    async def DiffVersions(self, request: pb.DiffVersionsRequest, context: Context) -> pb.DiffVersionsResponse:
        projects, workflow_id = current_caller().permitted_projects, UUID(request.workflow_id)
        refs = VersionRef.parse(request.version), VersionRef.parse(request.other, field="other")
        async with self._pages.acquire() as db:
            before, after = [await versions.get_version(db, projects, workflow_id, ref) for ref in refs]
        return await self._documents.compare(before.content, after.content)

    async def ExportVersion(self, request: pb.ExportVersionRequest, context: Context) -> pb.ExportVersionResponse:
        ref = VersionRef.parse(request.version)
        async with self._pages.acquire() as db:
            version = await versions.get_version(
                db, current_caller().permitted_projects, UUID(request.workflow_id), ref
            )
        archive = await self._documents.export(version.content.flow, version.number)
        return pb.ExportVersionResponse(data=HttpBody(content_type="application/octet-stream", data=archive))

    async def ResolveVersion(self, request: pb.ResolveVersionRequest, context: Context) -> pb.ResolveVersionResponse:
        project = current_caller().project(UUID(request.project_id))
        workflow_id = UUID(request.workflow_id)
        named = request.HasField("workflow_version_id")
        ref = VersionRef.of_id(request.workflow_version_id) if named else VersionRef("latest")
        try:
            kept, state = await self._reads.get_with_state((project.id,), workflow_id, ref)
        except VersionNotFound as error:
            async with self._pool.acquire() as db:
                raise await self._why_not(db, project.id, workflow_id, ref.id, error) from None
        found = kept.response.data
        workflow = pb.Workflow(id=found.workflow_id, name=state.workflow_name, description=state.workflow_description)
        version = pb.Version()
        version.CopyFrom(found)
        version.ClearField("flow_ui")
        if request.omit_flow:
            version.ClearField("flow")
        warnings = await self._warnings_of(found)
        answer = pb.ResolveVersionResponse(workflow=workflow, version=version, warnings=warnings)
        if not request.omit_flow and (loadable := await self._loadable_of(found)).digest:
            answer.loadable.CopyFrom(loadable)
        return answer

    async def _loadable_of(self, version: pb.Version) -> pb.Loadable:
        """The version's loadable. It is empty if the SDK cannot load the flow; then the warnings say why. It is made
        once and cached."""
        loadable = self._loadables.get(version.digest)
        if loadable is None:
            loadable = await self._translations.run(version.digest, partial(self._translated, version))
        return loadable

    async def _translated(self, version: pb.Version) -> pb.Loadable:
        try:
            document = await self._documents.loadable(version.flow.utf8)
        except DocumentTooComplex:
            document = None
        loadable = pb.Loadable()
        if document is not None:
            loadable = pb.Loadable(document=pb.Json(utf8=document), digest=sha256(document).digest())
        if loadable.ByteSize() < MAX_KEPT_LOADABLES_BYTES // 4:
            self._loadables[version.digest] = loadable
        return loadable

    async def _warnings_of(self, version: pb.Version) -> list[str]:
        """The warnings of validation. The same flow always has the same warnings, so they are cached."""
        warnings = self._warnings.get(version.digest)
        if warnings is None:
            warnings = await self._validations.run(version.digest, partial(self._validated, version))
        return warnings

    async def _validated(self, version: pb.Version) -> list[str]:
        try:
            problems = await self._documents.validate_saved(version.flow.utf8)
        except DocumentTooComplex as error:
            problems = [Problem("flow", error.message, "warning")]
            self._loadables[version.digest] = pb.Loadable()  # translation would take just as long
        secrets_first = sorted(problems, key=lambda problem: not problem.about_secret)
        warnings = [f"{problem.path} {problem.message}" for problem in secrets_first[:MAX_WARNINGS]]
        self._warnings[version.digest] = warnings
        return warnings

    @staticmethod
    async def _why_not(
        db: Connection, project_id: UUID, workflow_id: UUID, given: UUID | None, error: VersionNotFound
    ) -> ServiceError:
        """Why a version cannot be pinned: the workflow is a draft, or the version is of another workflow, deleted or
        missing."""
        if (await workflows.get_workflow_head(db, [project_id], workflow_id)).is_draft:
            return WorkflowNotReleased(workflow_id)
        found = await versions.find_version(db, project_id, given) if given else None
        if given is None or found is None:
            return error
        owner, is_deleted = found
        if owner != workflow_id:
            return VersionOfOtherWorkflow(given)
        return VersionDeleted(given) if is_deleted else error
