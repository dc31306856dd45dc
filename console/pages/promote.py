"""/apps/{app_id}/promote: deploys the live version of one environment to the next."""

from aiohttp import web

from console.app_reads import APP, live_of, open_app
from console.visit import VISIT, Visit
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb

routes = web.RouteTableDef()


@routes.get(APP + "/promote")
async def show(request: web.Request) -> web.Response:
    return await _page(request[VISIT], request.query.get("environment", ""))


@routes.post(APP + "/promote")
async def promote(request: web.Request) -> web.Response:
    visit = request[VISIT]
    form = await visit.form()
    app_id, target = request.match_info["app_id"], form.text("environment")
    asked = pb.PromoteAppRequest(
        app_id=app_id,
        environment=target,
        from_environment=form.text("from_environment") or None,
        reason=form.text("reason") or None,
        force=form.text("force") == "yes",
    )
    try:
        deployment = (await visit.call(asked, pb.PromoteAppResponse, key=form.key)).data
    except ServiceError as error:
        return await _page(visit, target, error, form.text("reason"), status=409)
    label = deployment.workflow_version.label
    said = f"{label} is live in {target}." if deployment.live else f"{label} is on its way to {target}."
    return visit.go(f"/apps/{app_id}", said)


async def _page(
    visit: Visit, target: str, error: ServiceError | None = None, reason: str = "", status: int = 200
) -> web.Response:
    app = await open_app(visit)
    names = [each.name for each in app.environments]
    if target not in names[1:]:
        target = names[-1]
    place = names.index(target)
    live = await live_of(visit, [app])
    sides = [live.get(each.deployment_id) for each in app.environments]
    return await visit.page(
        "promote.html",
        app=app,
        targets=names[1:],
        target=target,
        origin=names[place - 1] if place else "",
        before=sides[place],
        after=sides[place - 1] if place else None,
        error=error,
        reason=reason,
        status=status,
    )
