"""/apps/{app_id}/deployments/{deployment_id}: one deployment, and forms to mark it good or bad or cancel it."""

from aiohttp import web

from console.app_reads import APP, ID, open_app
from console.visit import VISIT, Visit
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb

DEPLOYMENT = f"{APP}/deployments/{{deployment_id:{ID}}}"
HEALTH = {"good": pb.DEPLOYMENT_HEALTH_GOOD, "bad": pb.DEPLOYMENT_HEALTH_BAD}

routes = web.RouteTableDef()


@routes.get(DEPLOYMENT)
async def show(request: web.Request) -> web.Response:
    visit = request[VISIT]
    app, deployment = await open_app(visit), await find_deployment(visit, request.match_info["deployment_id"])
    source = None
    if deployment.HasField("source_deployment_id"):
        source = await find_deployment(visit, deployment.source_deployment_id)
    return await visit.page("deployment.html", app=app, deployment=deployment, source=source)


@routes.post(DEPLOYMENT + "/health")
async def mark(request: web.Request) -> web.Response:
    visit = request[VISIT]
    form = await visit.form()
    word = form.text("health")
    asked = pb.MarkDeploymentRequest(
        deployment_id=request.match_info["deployment_id"],
        health=HEALTH.get(word, pb.DEPLOYMENT_HEALTH_UNSPECIFIED),
        note=form.text("note") or None,
    )
    return await _done(visit, asked, pb.MarkDeploymentResponse, f"Marked {word}.")


@routes.post(DEPLOYMENT + "/cancel")
async def cancel(request: web.Request) -> web.Response:
    visit = request[VISIT]
    await visit.form()
    asked = pb.CancelDeploymentRequest(deployment_id=request.match_info["deployment_id"])
    return await _done(visit, asked, pb.CancelDeploymentResponse, "Canceled. What is live stays live.")


async def _done(
    visit: Visit,
    asked: pb.MarkDeploymentRequest | pb.CancelDeploymentRequest,
    answer: type[pb.MarkDeploymentResponse | pb.CancelDeploymentResponse],
    said: str,
) -> web.Response:
    info = visit.request.match_info
    back = f"/apps/{info['app_id']}/deployments/{info['deployment_id']}"
    try:
        await visit.call(asked, answer)
    except ServiceError as error:
        return visit.refused(back, error)
    return visit.go(back, said)


async def find_deployment(visit: Visit, deployment_id: str) -> pb.Deployment:
    """The deployment in the URL, of the app in the URL. Raises ServiceError."""
    request = pb.GetDeploymentRequest(app_id=visit.request.match_info["app_id"], deployment_id=deployment_id)
    return (await visit.call(request, pb.GetDeploymentResponse)).data
