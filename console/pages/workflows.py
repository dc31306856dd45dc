"""/workflows: the workflows of a project."""

from aiohttp import web

from console.paging import page_number, pages_around
from console.visit import VISIT
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb

PAGE_SIZE = 25
STATUSES = {"draft": pb.WORKFLOW_STATUS_DRAFT, "released": pb.WORKFLOW_STATUS_RELEASED}
SORTS = ("name", "-name", "created_at", "-created_at", "updated_at", "-updated_at")
NEWEST_CHANGE = "-updated_at"

routes = web.RouteTableDef()


@routes.get("/workflows")
async def show(request: web.Request) -> web.Response:
    visit = request[VISIT]
    query = request.query
    found = None
    if visit.project is not None:
        sort = query.get("sort", "")
        asked = pb.ListWorkflowsRequest(
            project_id=visit.project.id,
            status=STATUSES.get(query.get("status", "")),
            name=query.get("name") or None,
            sort=sort if sort in SORTS else NEWEST_CHANGE,
            page=page_number(query),
            page_size=PAGE_SIZE,
        )
        found = await visit.call_if_there(asked, pb.ListWorkflowsResponse)
    pages = pages_around(found.pagination.page, found.pagination.page_count) if found else ()
    return await visit.page("workflows.html", found=found, pages=pages, is_draft=is_draft)


def is_draft(workflow: pb.Workflow) -> bool:
    return workflow.status == pb.WORKFLOW_STATUS_DRAFT
