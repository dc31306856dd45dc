"""The RPCs about labels."""

from uuid import UUID

from service_kit.access.caller import current_caller
from service_kit.db import Connection
from service_kit.fields import optional_id
from service_kit.idempotency import Context, IdempotentCall
from service_kit.paging import page_of
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from workflow_service.labeling import delete_label, expected_of, set_label
from workflow_service.messages import label_message, move_message
from workflow_service.model import VersionRef, check_label
from workflow_service.permissions import project_of_workflow
from workflow_service.repository import labels, workflows
from workflow_service.servicer.base import ServicerBase, tag


class LabelMethods(ServicerBase):
    async def ListLabels(self, request: pb.ListLabelsRequest, context: Context) -> pb.ListLabelsResponse:
        workflow_id, page = UUID(request.workflow_id), page_of(request)
        async with self._pages.acquire() as db:
            project_id = await workflows.find_project(db, current_caller().permitted_projects, workflow_id)
            found, total = await labels.list_labels(db, project_id, workflow_id, page)
        return pb.ListLabelsResponse(data=map(label_message, found), pagination=pb.Pagination(**page.of(total)))

    async def GetLabel(self, request: pb.GetLabelRequest, context: Context) -> pb.GetLabelResponse:
        check_label(request.name)
        async with self._pool.acquire() as db:
            label = await labels.get_label(
                db, current_caller().permitted_projects, UUID(request.workflow_id), request.name
            )
        tag(context, label)
        return pb.GetLabelResponse(data=label_message(label))

    async def SetLabel(self, request: pb.SetLabelRequest, context: Context) -> pb.SetLabelResponse:
        caller, workflow_id = current_caller(), UUID(request.workflow_id)
        check_label(request.name)
        ref = VersionRef.of_id(request.workflow_version_id)
        expected = expected_of(caller, optional_id(request, "expected_version_id"))

        async def work(db: Connection) -> pb.SetLabelResponse:
            label = await set_label(db, caller, workflow_id, request.name, ref, expected)
            tag(context, label)
            return pb.SetLabelResponse(data=label_message(label))

        project_of = project_of_workflow(caller, workflow_id)
        call = IdempotentCall(self._pool, context, request, pb.SetLabelResponse, project_of)
        moved = await call.run(work, changed=workflow_id)
        self._tell(workflow_id)
        return moved

    async def DeleteLabel(self, request: pb.DeleteLabelRequest, context: Context) -> pb.DeleteLabelResponse:
        caller, workflow_id = current_caller(), UUID(request.workflow_id)
        check_label(request.name)
        expected = expected_of(caller)
        async with self._pool.acquire_to_change(workflow_id) as db:
            await delete_label(db, caller, workflow_id, request.name, expected)
        self._tell(workflow_id)
        return pb.DeleteLabelResponse(message="deleted")

    async def ListLabelMoves(self, request: pb.ListLabelMovesRequest, context: Context) -> pb.ListLabelMovesResponse:
        workflow_id, page = UUID(request.workflow_id), page_of(request)
        check_label(request.name)
        async with self._pages.acquire() as db:
            project_id = await workflows.find_project(db, current_caller().permitted_projects, workflow_id)
            found, total = await labels.list_moves(db, project_id, workflow_id, request.name, page)
        return pb.ListLabelMovesResponse(data=map(move_message, found), pagination=pb.Pagination(**page.of(total)))
