"""/apps/{app_id}/test: calls an app once, like its callers."""

from aiohttp import web

from console.app_reads import APP, environment_of, find_live_flow, open_app
from console.trials import Trial, TrialPage, answer_pages, first_trial, sent_trial
from console.visit import VISIT, Visit
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from service_kit.pb.flowpin.run.v1.run_pb2 import InvokeAppRequest, Json

routes = web.RouteTableDef()


@routes.get(APP + "/test")
async def show(request: web.Request) -> web.Response:
    visit = request[VISIT]
    app = await open_app(visit)
    environment = environment_of(app, request.query.get("environment", ""))
    live = await find_live_flow(visit, app, environment)
    return await _page(visit, app, environment, live, first_trial(visit, live.flow.utf8)).show()


@routes.post(APP + "/test")
async def call(request: web.Request) -> web.StreamResponse:
    visit = request[VISIT]
    form = await visit.form()
    app = await open_app(visit)
    environment = environment_of(app, form.text("environment"))
    live = await find_live_flow(visit, app, environment)
    trial = sent_trial(form, live.flow.utf8)

    def asked(value: Json) -> InvokeAppRequest:
        return InvokeAppRequest(app_id=app.id, environment=environment.name, input=value, stream=trial.is_stream)

    return await _page(visit, app, environment, live, trial).run(asked)


def _page(
    visit: Visit, app: pb.App, environment: pb.EnvironmentState, live: pb.DeploymentFlow, trial: Trial
) -> TrialPage:
    version = f"/workflows/{live.workflow_id}/versions/{live.workflow_version.version}"
    pages = answer_pages(version, f"/apps/{app.id}/runs", live.flow.utf8)
    context = {"app": app, "environment": environment.name, "live": live if live.deployment_id else None}
    return TrialPage(visit, "app_test.html", trial, pages, context)
