"""Reads fields of requests: enums and filters."""

from collections.abc import Sequence
from uuid import UUID

from service_kit.errors import InvalidFields
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.times import between
from workflow_service.repository.workflow_pages import WorkflowFilter

MAX_VERSION_IDS = 100


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


def chosen_versions(request: pb.ListVersionsRequest) -> UUID | Sequence[UUID] | None:
    """The author or the ids of the requested versions. None for all versions. Raises InvalidFields."""
    author, ids = request.HasField("created_by"), request.version_ids
    if author and ids:
        raise InvalidFields({"version_ids": "must not be given together with created_by"})
    if len(ids) > MAX_VERSION_IDS:
        raise InvalidFields({"version_ids": f"must have at most {MAX_VERSION_IDS} entries"})
    try:
        return UUID(request.created_by) if author else [UUID(each) for each in ids] or None
    except ValueError:
        raise InvalidFields({"created_by": "must be a UUID"} if author else {"version_ids": "must be UUIDs"}) from None
