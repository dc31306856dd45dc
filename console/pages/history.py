"""/apps/{app_id}/history: the deployments of an app, newest first, and what was live at a given time."""

from datetime import UTC, datetime

from aiohttp import web
from google.protobuf.timestamp_pb2 import Timestamp

from console.app_reads import APP, open_app
from console.paging import page_number, pages_around
from console.visit import VISIT, Visit
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb

PAGE_SIZE = 25
STATUSES = {
    "deploying": pb.DEPLOYMENT_STATUS_DEPLOYING,
    "succeeded": pb.DEPLOYMENT_STATUS_SUCCEEDED,
    "failed": pb.DEPLOYMENT_STATUS_FAILED,
    "canceled": pb.DEPLOYMENT_STATUS_CANCELED,
}

routes = web.RouteTableDef()


@routes.get(APP + "/history")
async def show(request: web.Request) -> web.Response:
    visit, query = request[VISIT], request.query
    app = await open_app(visit)
    live_at = _moment(visit, query.get("live_at", ""))
    asked = pb.ListDeploymentsRequest(
        app_id=app.id,
        environment=query.get("environment") or None,
        status=STATUSES.get(query.get("status", "")),
        live_at=live_at,
        page=page_number(query),
        page_size=PAGE_SIZE,
    )
    found = await visit.call(asked, pb.ListDeploymentsResponse)
    pages = pages_around(found.pagination.page, found.pagination.page_count)
    return await visit.page(
        "history.html", app=app, found=found, pages=pages, live_at=live_at, shown_at=_shown(visit, live_at)
    )


def _shown(visit: Visit, moment: Timestamp | None) -> str:
    """The value for a browser's field for a local date and time."""
    return "" if moment is None else moment.ToDatetime(visit.person.zone).strftime("%Y-%m-%dT%H:%M:%S")


def _moment(visit: Visit, text: str) -> Timestamp | None:
    """Read a browser's local date and time in the person's time zone. Invalid times are ignored."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=visit.person.zone)
    moment = Timestamp()
    try:
        moment.FromDatetime(at.astimezone(UTC))
    except (OverflowError, ValueError):
        return None
    return moment
