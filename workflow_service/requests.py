"""What requests say beyond plain values: enums, filters."""

from uuid import UUID

from service_kit.errors import InvalidFields
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.times import between
from workflow_service.repository.workflow_pages import WorkflowFilter


def workflow_filter(project_id: UUID, request: pb.ListWorkflowsRequest) -> WorkflowFilter:
    """Raises InvalidFields."""
    if request.HasField("status") and request.status not in (pb.WORKFLOW_STATUS_DRAFT, pb.WORKFLOW_STATUS_RELEASED):
        raise InvalidFields({"status": "must be draft or released"})
    created_from, created_to = between("created_at", request.created_at)
    updated_from, updated_to = between("updated_at", request.updated_at)
    return WorkflowFilter(
        project_id=project_id,
        draft=request.status == pb.WORKFLOW_STATUS_DRAFT if request.HasField("status") else None,
        name=request.name if request.HasField("name") else None,
        created_from=created_from,
        created_to=created_to,
        updated_from=updated_from,
        updated_to=updated_to,
    )
