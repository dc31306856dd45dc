"""/apps/{app_id}/rollback: rolls back to a deployment of the history, or to the last good one, which the page names.

It uses only the deploy service, so it works while the workflow service is down.
"""

from aiohttp import web

from console.app_reads import APP, live_of, open_app
from console.pages.deployment import find_deployment
from console.visit import VISIT, Visit
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb

routes = web.RouteTableDef()


@routes.get(APP + "/rollback")
async def show(request: web.Request) -> web.Response:
    return await _page(request[VISIT])


@routes.post(APP + "/rollback")
async def roll_back(request: web.Request) -> web.Response:
    visit = request[VISIT]
    form = await visit.form()
    app_id = request.match_info["app_id"]
    asked = pb.RollbackAppRequest(
        app_id=app_id,
        deployment_id=form.text("deployment_id") or None,
        environment=form.text("environment") or None,
        reason=form.text("reason") or None,
        force=form.text("force") == "yes",
        plan_token=form.text("plan_token") or None,
    )
    try:
        answer = await visit.call(asked, pb.RollbackAppResponse, key=form.key)
    except ServiceError as error:
        return await _page(visit, error, reason=form.text("reason"), status=409)
    label = answer.data.workflow_version.label
    said = f"Rolling back to {label}." if not answer.data.live else f"Rolled back: {label} is live."
    return visit.go(f"/apps/{app_id}", f"{said} {answer.message}".strip())


async def _page(visit: Visit, error: ServiceError | None = None, reason: str = "", status: int = 200) -> web.Response:
    app, query = await open_app(visit), visit.request.query
    deployment_id = query.get("deployment_id", "")
    named = await find_deployment(visit, deployment_id) if deployment_id else None
    environment = named.environment if named else query.get("environment") or app.environments[-1].name
    state = next((each for each in app.environments if each.name == environment), None)
    live = (await live_of(visit, [app])).get(state.deployment_id) if state else None
    asked = pb.PlanRollbackRequest(app_id=app.id, deployment_id=deployment_id or None, environment=environment)
    plan = (await visit.call(asked, pb.PlanRollbackResponse)).data
    return await visit.page(
        "rollback.html",
        app=app,
        named=named,
        plan=plan,
        live=live,
        environment=environment,
        error=error,
        reason=reason,
        status=status,
    )
