"""/workflows/{id}/versions/{n}/test: runs a version with an input, without saving or deploying."""

from aiohttp import web

from console.pages.version import read_version
from console.pages.workflow import read_workflow
from console.trials import Trial, TrialPage, answer_pages, first_trial, sent_trial
from console.visit import VISIT, Visit
from service_kit.pb.flowpin.run.v1.run_pb2 import Json, TestVersionRequest
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb

ADDRESS = "/workflows/{workflow_id}/versions/{version}/test"

routes = web.RouteTableDef()


@routes.get(ADDRESS)
async def show(request: web.Request) -> web.Response:
    visit = request[VISIT]
    version = await read_version(visit)
    workflow = await read_workflow(visit, version.workflow_id)
    return await _page(visit, workflow, version, first_trial(visit, version.flow.utf8)).show()


@routes.post(ADDRESS)
async def run(request: web.Request) -> web.StreamResponse:
    visit = request[VISIT]
    form = await visit.form()
    version = await read_version(visit)
    workflow = await read_workflow(visit, version.workflow_id)
    trial = sent_trial(form, version.flow.utf8)

    def asked(value: Json) -> TestVersionRequest:
        return TestVersionRequest(
            workflow_id=version.workflow_id, version=version.id, input=value, stream=trial.is_stream
        )

    return await _page(visit, workflow, version, trial).run(asked)


def _page(visit: Visit, workflow: pb.Workflow, version: pb.Version, trial: Trial) -> TrialPage:
    address = f"/workflows/{version.workflow_id}/versions/{version.version}"
    pages = answer_pages(address, "", version.flow.utf8)
    return TrialPage(visit, "try_version.html", trial, pages, {"workflow": workflow, "version": version})
