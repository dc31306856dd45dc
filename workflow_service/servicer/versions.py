"""The RPCs of versions."""

import json
from uuid import UUID

from google.api.httpbody_pb2 import HttpBody

from service_kit import audit, auth
from service_kit.db import Connection
from service_kit.errors import ServiceError
from service_kit.idempotency import Context, once
from service_kit.paging import page_of
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.threads import in_thread
from workflow_service.diff import diff_flows, same
from workflow_service.errors import VersionDeleted, VersionNotFound, VersionOfOtherWorkflow, WorkflowNotReleased
from workflow_service.flow import Content, parse_flow
from workflow_service.messages import diff_message, version_message
from workflow_service.model import Version, VersionRef, check_texts
from workflow_service.repository import version_pages, versions, workflows
from workflow_service.repository.new_versions import NewVersion, insert_version
from workflow_service.sdk import checks
from workflow_service.sdk.export import export_zip
from workflow_service.servicer.rpcs import Rpcs, owner_of, tag

# Numbers grow with time, so both names mean the same order.
SORTS = {"version": "version", "created_at": "version"}
MAX_WARNINGS = 20


class VersionRpcs(Rpcs):
    async def ListVersions(self, request: pb.ListVersionsRequest, context: Context) -> pb.ListVersionsResponse:
        page = page_of(request, SORTS, default="-version")
        async with self._pool.acquire() as db:
            found, total = await version_pages.list_versions(
                db,
                auth.caller().projects,
                UUID(request.workflow_id),
                page,
                newest_first=page.order_by.startswith("version DESC"),
                with_archived=request.include_archived,
            )
        return pb.ListVersionsResponse(data=map(version_message, found), pagination=pb.Pagination(**page.of(total)))

    async def GetVersion(self, request: pb.GetVersionRequest, context: Context) -> pb.GetVersionResponse:
        ref = VersionRef.parse(request.version)
        answer = await self._reads.get(auth.caller().projects, UUID(request.workflow_id), ref)
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
        caller = auth.caller()
        async with self._pool.acquire() as db, db.transaction():
            workflow = await workflows.lock_workflow(db, caller.visible, workflow_id)
            caller.require(workflow.project_id)
            version = await versions.get_version_head(db, caller.projects, workflow_id, ref)
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
        return version

    async def DeleteVersion(self, request: pb.DeleteVersionRequest, context: Context) -> pb.DeleteVersionResponse:
        caller, workflow_id = auth.caller(), UUID(request.workflow_id)
        ref = VersionRef.parse(request.version)
        async with self._pool.acquire() as db, db.transaction():
            workflow = await workflows.lock_workflow(db, caller.visible, workflow_id)
            caller.require(workflow.project_id)
            version = await versions.get_version_head(db, caller.projects, workflow_id, ref)
            version.check_deletable()
            await workflows.count_hidden(
                db, workflow_id, workflow.project_id, archived=-1 if version.archived_at else 0, deleted=1
            )
            await versions.hide_version(db, workflow.project_id, version.id, caller.id)
            await audit.record(
                db, caller, workflow.project_id, workflow_id, "DeleteVersion", version.id, version=version.label
            )
        return pb.DeleteVersionResponse(message="deleted")

    async def RestoreVersion(self, request: pb.RestoreVersionRequest, context: Context) -> pb.RestoreVersionResponse:
        caller, workflow_id = auth.caller(), UUID(request.workflow_id)
        ref = VersionRef.parse(request.version)
        check_texts(description=request.description)

        async def restore(db: Connection) -> pb.RestoreVersionResponse:
            async with db.transaction():
                workflow = await workflows.lock_workflow(db, caller.visible, workflow_id)
                caller.require(workflow.project_id)
                old = await versions.get_version(db, caller.projects, workflow_id, ref)
                description = request.description if request.HasField("description") else f"Restored from {old.label}."
                new = NewVersion(caller, workflow_id, old.content, "RestoreVersion", description)
                version = await insert_version(db, new)
            tag(context, version)
            return pb.RestoreVersionResponse(data=version_message(version))

        project_of = owner_of(caller, workflow_id)
        return await once(self._pool, context, caller, project_of, request, pb.RestoreVersionResponse, restore)

    async def DiffVersions(self, request: pb.DiffVersionsRequest, context: Context) -> pb.DiffVersionsResponse:
        projects, workflow_id = auth.caller().projects, UUID(request.workflow_id)
        refs = VersionRef.parse(request.version), VersionRef.parse(request.other, field="other")
        async with self._pool.acquire() as db:
            before, after = [await versions.get_version(db, projects, workflow_id, ref) for ref in refs]
        # Large flows take seconds; other calls are not to wait for them.
        return pb.DiffVersionsResponse(data=await in_thread(_diff, before.content, after.content))

    async def ExportVersion(self, request: pb.ExportVersionRequest, context: Context) -> pb.ExportVersionResponse:
        ref = VersionRef.parse(request.version)
        async with self._pool.acquire() as db:
            version = await versions.get_version(db, auth.caller().projects, UUID(request.workflow_id), ref)
        flow = parse_flow(version.content.flow, self._max_flow_bytes)
        archive, _ = await in_thread(export_zip, flow, version.number)
        return pb.ExportVersionResponse(data=HttpBody(content_type="application/octet-stream", data=archive))

    async def ResolveVersion(self, request: pb.ResolveVersionRequest, context: Context) -> pb.ResolveVersionResponse:
        project = auth.caller().project(UUID(request.project_id))
        workflow_id = UUID(request.workflow_id)
        given = UUID(request.workflow_version_id) if request.HasField("workflow_version_id") else None
        ref = VersionRef("id", id=given) if given else VersionRef("latest")
        try:
            answer, state = await self._reads.get_with_state((project.id,), workflow_id, ref)
        except VersionNotFound as error:
            async with self._pool.acquire() as db:
                raise await self._why_not(db, project.id, workflow_id, given, error) from None
        found = answer.response.data
        workflow = pb.Workflow(id=found.workflow_id, name=state.workflow_name, description=state.workflow_description)
        version = pb.Version()
        version.CopyFrom(found)
        version.ClearField("flow_ui")
        if request.omit_flow:
            version.ClearField("flow")
        warnings = await self._warnings_of(found)
        return pb.ResolveVersionResponse(workflow=workflow, version=version, warnings=warnings)

    async def _warnings_of(self, version: pb.Version) -> list[str]:
        """What validate says of a flow. A flow's meaning never changes, so that is found out once."""
        warnings = self._warnings.get(version.digest)
        if warnings is None:
            problems = await in_thread(lambda: checks.problems(json.loads(version.flow.utf8)))
            warnings = [f"{problem.path} {problem.message}" for problem in problems[:MAX_WARNINGS]]
            self._warnings[version.digest] = warnings
        return warnings

    @staticmethod
    async def _why_not(
        db: Connection, project_id: UUID, workflow_id: UUID, given: UUID | None, error: VersionNotFound
    ) -> ServiceError:
        """Why a version cannot be pinned: its workflow is a draft, or it is another's, or deleted, or not there."""
        if (await workflows.get_workflow_head(db, [project_id], workflow_id)).is_draft:
            return WorkflowNotReleased(workflow_id)
        found = await versions.find_version(db, project_id, given) if given else None
        if given is None or found is None:
            return error
        owner, is_deleted = found
        if owner != workflow_id:
            return VersionOfOtherWorkflow(given)
        return VersionDeleted(given) if is_deleted else error


def _diff(before: Content, after: Content) -> pb.Diff:
    found = diff_flows(json.loads(before.flow), json.loads(after.flow))
    return diff_message(found, layout_changed=not same(json.loads(before.flow_ui), json.loads(after.flow_ui)))
