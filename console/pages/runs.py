"""/apps/{app_id}/runs: the calls of an app, newest first."""

from aiohttp import web

from console.app_reads import APP, open_app
from console.paging import page_number, pages_around
from console.shown import word
from console.visit import VISIT
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.run.v1 import run_pb2

PAGE_SIZE = 25
STATUSES = {
    "started": run_pb2.RUN_STATUS_STARTED,
    "completed": run_pb2.RUN_STATUS_COMPLETED,
    "failed": run_pb2.RUN_STATUS_FAILED,
    "canceled": run_pb2.RUN_STATUS_CANCELED,
}
TONES = {"completed": "good", "failed": "bad", "canceled": "note", "started": "busy", "created": "busy"}

routes = web.RouteTableDef()


@routes.get(APP + "/runs")
async def show(request: web.Request) -> web.Response:
    visit, query = request[VISIT], request.query
    app, found, error = await open_app(visit), None, None
    asked = run_pb2.ListAppRunsRequest(
        app_id=app.id, status=STATUSES.get(query.get("status", "")), page=page_number(query), page_size=PAGE_SIZE
    )
    try:
        found = await visit.call(asked, run_pb2.ListAppRunsResponse)
    except ServiceError as refused:
        error = refused
    pages = pages_around(found.pagination.page, found.pagination.page_count) if found else ()
    return await visit.page("runs.html", app=app, found=found, error=error, pages=pages, outcome=outcome, took=took)


def outcome(run: run_pb2.Run) -> tuple[str, str]:
    """The word and the tone of a run's outcome."""
    name = word(run.status, run_pb2.RunStatus)
    return name.capitalize(), TONES.get(name, "quiet")


def took(run: run_pb2.Run) -> str:
    if not run.HasField("ended_at"):
        return ""
    milliseconds = (run.ended_at.ToNanoseconds() - run.started_at.ToNanoseconds()) // 1_000_000
    return f"{milliseconds:,} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:,.1f} s"
