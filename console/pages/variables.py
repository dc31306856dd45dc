"""/apps/{app_id}/variables: the environment variables of an app's replicas. Values of secrets are never read back."""

from aiohttp import web

from console.app_reads import APP, open_app
from console.visit import VISIT, Visit
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb

MOST_VARIABLES = 500

routes = web.RouteTableDef()


@routes.get(APP + "/variables")
async def show(request: web.Request) -> web.Response:
    return await _page(request[VISIT])


@routes.post(APP + "/variables")
async def set_variable(request: web.Request) -> web.Response:
    visit = request[VISIT]
    form, app_id = await visit.form(), request.match_info["app_id"]
    asked = pb.SetVariableRequest(
        app_id=app_id,
        name=form.text("name"),
        value=form.fields.get("value", ""),
        secret=form.text("secret") == "yes",
        environment=form.text("environment") or None,
    )
    try:
        await visit.call(asked, pb.SetVariableResponse)
    except ServiceError as error:
        return await _page(visit, error, name=form.text("name"), status=409)
    return visit.go(f"/apps/{app_id}/variables", f"{asked.name} is set. Replicas take it up at their next start.")


@routes.post(APP + "/variables/delete")
async def delete_variable(request: web.Request) -> web.Response:
    visit = request[VISIT]
    form, app_id = await visit.form(), request.match_info["app_id"]
    asked = pb.DeleteVariableRequest(
        app_id=app_id, name=form.text("name"), environment=form.text("environment") or None
    )
    back = f"/apps/{app_id}/variables"
    try:
        await visit.call(asked, pb.DeleteVariableResponse)
    except ServiceError as error:
        return visit.refused(back, error)
    return visit.go(back, f"{asked.name} is deleted.")


async def _page(visit: Visit, error: ServiceError | None = None, name: str = "", status: int = 200) -> web.Response:
    app = await open_app(visit)
    variables: list[pb.Variable] = []
    try:
        asked = pb.ListVariablesRequest(app_id=app.id, page_size=MOST_VARIABLES)
        variables = list((await visit.call(asked, pb.ListVariablesResponse)).data)
    except ServiceError as refused:
        error = error or refused
    return await visit.page("variables.html", app=app, variables=variables, error=error, name=name, status=status)
