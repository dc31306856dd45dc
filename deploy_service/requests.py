"""Reads fields of requests: optional ones, enums, filters."""

from uuid import UUID

from deploy_service.repository.app_pages import AppFilter
from deploy_service.repository.history import HistoryFilter
from service_kit.access.file import Project
from service_kit.errors import InvalidFields
from service_kit.fields import optional, optional_id
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from service_kit.times import between, moment

STATUSES = {
    number: name.removeprefix("DEPLOYMENT_STATUS_").lower() for name, number in pb.DeploymentStatus.items() if number
}


def version_of(
    request: pb.CreateAppRequest | pb.DeployAppRequest | pb.PlanDeployRequest,
) -> tuple[UUID | None, str | None]:
    """The version's id, its label, or neither."""
    named = optional(request, "workflow_version_id")
    if named is None:
        return None, None
    return (None, named.removeprefix("@")) if named.startswith("@") else (UUID(named), None)


def access_type_of(request: pb.CreateAppRequest | pb.UpdateAppRequest) -> str | None:
    """Raises InvalidFields."""
    match request.access_control.access_type if request.HasField("access_control") else None:
        case None:
            return None
        case pb.ACCESS_TYPE_PRIVATE:
            return "private"
        case pb.ACCESS_TYPE_PUBLIC:
            return "public"
    raise InvalidFields({"access_control.access_type": "must be private or public"})


def health_of(request: pb.MarkDeploymentRequest) -> str:
    """Raises InvalidFields."""
    match request.health:
        case pb.DEPLOYMENT_HEALTH_GOOD:
            return "good"
        case pb.DEPLOYMENT_HEALTH_BAD:
            return "bad"
    raise InvalidFields({"health": "must be good or bad"})


def app_filter(project: Project, request: pb.ListAppsRequest) -> AppFilter:
    """Raises InvalidFields."""
    created_from, created_to = between("created_at", request.created_at)
    updated_from, updated_to = between("updated_at", request.updated_at)
    return AppFilter(
        project_id=project.id,
        environment=project.environments[-1],
        workflow_id=optional_id(request, "workflow_id"),
        created_from=created_from,
        created_to=created_to,
        updated_from=updated_from,
        updated_to=updated_to,
        archived=request.archived if request.HasField("archived") else (None if request.include_archived else False),
    )


def history_filter(request: pb.ListDeploymentsRequest) -> HistoryFilter:
    """Raises InvalidFields."""
    started_from, started_to = between("started_at", request.started_at)
    if request.HasField("status") and request.status not in STATUSES:
        raise InvalidFields({"status": f"must be one of {', '.join(STATUSES.values())}"})
    return HistoryFilter(
        environment=optional(request, "environment"),
        status=STATUSES[request.status] if request.HasField("status") else None,
        live_at=moment("live_at", request.live_at) if request.HasField("live_at") else None,
        started_from=started_from,
        started_to=started_to,
    )
