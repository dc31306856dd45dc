"""RPCs about runs."""

from uuid import UUID

from run_service.messages import run_message
from run_service.permissions import projects_of_app
from run_service.repository import run_pages, runs
from run_service.repository.run_pages import RunFilter
from run_service.servicer.base import ServicerBase
from service_kit.access.caller import current_caller
from service_kit.array_parameters import Projects
from service_kit.errors import InvalidFields
from service_kit.fields import optional_id
from service_kit.idempotency import Context
from service_kit.paging import page_of
from service_kit.pb.flowpin.run.v1 import run_pb2 as pb
from service_kit.times import between

STATUSES = {number: name.removeprefix("RUN_STATUS_").lower() for name, number in pb.RunStatus.items() if number}


class RunMethods(ServicerBase):
    async def ListAppRuns(self, request: pb.ListAppRunsRequest, context: Context) -> pb.ListAppRunsResponse:
        app_id = UUID(request.app_id)
        page = page_of(request, run_pages.SORTS, default="-started_at")
        async with self._pages.acquire() as db:
            projects = await projects_of_app(db, current_caller(), app_id, self._parts.table.project_of)
            found, total = await run_pages.list_runs(db, _filter(projects, app_id, request), page)
        return pb.ListAppRunsResponse(data=map(run_message, found), pagination=pb.Pagination(**page.of(total)))

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        async with self._pool.acquire() as db:
            run = await runs.get_run(db, current_caller().permitted_projects, UUID(request.run_id))
        return pb.GetRunResponse(data=run_message(run))


def _filter(projects: Projects, app_id: UUID, request: pb.ListAppRunsRequest) -> RunFilter:
    """Raises InvalidFields."""
    started_from, started_to = between("started_at", request.started_at)
    if request.HasField("status") and request.status not in STATUSES:
        raise InvalidFields({"status": f"must be one of {', '.join(STATUSES.values())}"})
    return RunFilter(
        projects=projects,
        app_id=app_id,
        deployment_id=optional_id(request, "deployment_id"),
        status=STATUSES[request.status] if request.HasField("status") else None,
        started_from=started_from,
        started_to=started_to,
    )
