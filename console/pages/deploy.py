"""/deploy: the Deploy panel. Deploys a version to a new or an existing app, after showing the plan."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from console.app_reads import list_runtimes, live_of
from console.visit import VISIT, Visit
from service_kit.errors import InvalidArgument, ServiceError
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from service_kit.validation import is_uuid

MOST_CHOICES = 100
NEW = "new"
"""Value of the form that means a new app."""
NUMBERS = {"min_replicas": "Min replicas", "max_replicas": "Max replicas", "target_cpu": "Target CPU"}

routes = web.RouteTableDef()


@routes.get("/deploy")
async def show(request: web.Request) -> web.Response:
    visit, query = request[VISIT], request.query
    workflow = await _workflow(visit, query.get("workflow_id", ""))
    own = visit.project.environments if visit.project else ()
    listed = pb.ListAppsRequest(project_id=workflow.project_id, page_size=MOST_CHOICES)
    apps, runtimes = await asyncio.gather(visit.call(listed, pb.ListAppsResponse), list_runtimes(visit))
    app = await _chosen(visit, apps.data, workflow.id)
    environments = [each.name for each in app.environments] if app else list(own)
    environment = query.get("environment", "")
    if environment not in environments:
        environment = environments[-1]
    live = None
    if app is not None:
        state = next(each for each in app.environments if each.name == environment)
        live = (await live_of(visit, [app])).get(state.deployment_id)
    named = (query.get("workflow_version_id", ""), live.workflow_version_id if live else "")
    versions = await _versions(visit, workflow.id, *named)
    return await visit.page(
        "deploy.html",
        workflow=workflow,
        versions=versions,
        apps=apps.data if app is None or app in apps.data else [*apps.data, app],
        app=app,
        environments=environments,
        environment=environment,
        live=live,
        runtimes=runtimes,
        config=live.deployment_config if live else pb.DeploymentConfig(),
    )


@routes.get("/deploy/plan")
async def plan(request: web.Request) -> web.Response:
    return await _plan(request[VISIT], request.query)


@routes.post("/deploy")
async def deploy(request: web.Request) -> web.Response:
    """Deploy to an existing app with the token of its plan, or to a new app."""
    visit = request[VISIT]
    form = await visit.form()
    fields = form.fields
    try:
        if form.text("app_id") != NEW:
            asked = pb.DeployAppRequest(
                **_pins(fields), plan_token=form.text("plan_token") or None, reason=form.text("reason") or None
            )
            deployment = (await visit.call(asked, pb.DeployAppResponse, key=form.key)).data
            app_id, is_live = deployment.app_id, deployment.live
        else:
            pins = _pins(fields)
            del pins["app_id"], pins["force"]
            access = pb.ACCESS_TYPE_PUBLIC if form.text("access") == "public" else pb.ACCESS_TYPE_PRIVATE
            new = pb.CreateAppRequest(
                **pins,
                project_id=form.text("project_id"),
                name=form.text("name"),
                description=form.text("description"),
                access_control=pb.AccessControl(access_type=access),
            )
            app = (await visit.call(new, pb.CreateAppResponse, key=form.key)).data
            app_id, is_live = app.id, any(each.deployment_id for each in app.environments)
    except ServiceError as error:
        return await _plan(visit, fields, error)
    return visit.go(f"/apps/{app_id}", "Deployed: it is live." if is_live else "The deployment has started.")


async def _plan(visit: Visit, fields: Mapping[str, str], error: ServiceError | None = None) -> web.Response:
    """The plan and the form that executes it. With an error the new plan is shown with it."""
    workflow = await _workflow(visit, fields.get("workflow_id", ""))
    versions = await _versions(visit, workflow.id, fields.get("workflow_version_id", ""))
    app = found = None
    try:
        pins = _pins(fields)
        if fields.get("app_id") != NEW:
            request = pb.GetAppRequest(app_id=fields.get("app_id", ""))
            app = (await visit.call(request, pb.GetAppResponse)).data
            found = (await visit.call(pb.PlanDeployRequest(**pins), pb.PlanDeployResponse)).data
    except ServiceError as refused:
        error = error or refused
    version = next((each for each in versions if each.id == fields.get("workflow_version_id")), None)
    runtimes = await list_runtimes(visit)
    runtime = next((each for each in runtimes if each.id == fields.get("runtime_id")), None)
    return await visit.page(
        "plan.html",
        workflow=workflow,
        version=version or (versions[0] if versions else None),
        runtime=runtime or (runtimes[0] if runtimes else None),
        app=app,
        plan=found,
        fields=fields,
        config=_config(fields),
        error=error,
        status=409 if error else 200,
    )


async def _workflow(visit: Visit, workflow_id: str) -> workflow_pb2.Workflow:
    """Raises ServiceError."""
    asked = workflow_pb2.GetWorkflowRequest(workflow_id=workflow_id)
    workflow = (await visit.call(asked, workflow_pb2.GetWorkflowResponse)).data
    if visit.enter(workflow.project_id) is None:
        raise InvalidArgument("The workflow's project is not visible to you.")
    return workflow


async def _versions(visit: Visit, workflow_id: str, *named: str) -> Sequence[workflow_pb2.Version]:
    """The newest versions, and those with the given ids, even if they are older. Newest first. Raises ServiceError."""
    newest = workflow_pb2.ListVersionsRequest(workflow_id=workflow_id, page_size=MOST_CHOICES)
    found = list((await visit.call(newest, workflow_pb2.ListVersionsResponse)).data)
    older = {each for each in named if is_uuid(each)} - {each.id for each in found}
    if older:
        asked = workflow_pb2.ListVersionsRequest(workflow_id=workflow_id, version_ids=older, include_archived=True)
        found += (await visit.call(asked, workflow_pb2.ListVersionsResponse)).data
    return found


async def _chosen(visit: Visit, apps: Sequence[pb.App], workflow_id: str) -> pb.App | None:
    """The app in the URL, or the first that serves this workflow, or the first of all. None means a new app.

    Raises ServiceError.
    """
    wanted = visit.request.query.get("app_id", "")
    if wanted == NEW or not (apps or wanted):
        return None
    if not wanted:
        return next((each for each in apps if each.workflow_id == workflow_id), apps[0])
    listed = next((each for each in apps if each.id == wanted), None)
    return listed or (await visit.call(pb.GetAppRequest(app_id=wanted), pb.GetAppResponse)).data


def _pins(fields: Mapping[str, str]) -> dict[str, Any]:
    """The fields that a plan, a deploy and a new app share. Raises InvalidArgument."""
    return {
        "app_id": fields.get("app_id", ""),
        "workflow_id": fields.get("workflow_id", ""),
        "workflow_version_id": fields.get("workflow_version_id") or None,
        "runtime_id": fields.get("runtime_id") or None,
        "environment": fields.get("environment") or None,
        "deployment_config": _config(fields),
        "force": fields.get("force") == "yes",
    }


def _config(fields: Mapping[str, str]) -> pb.DeploymentConfig | None:
    """The configuration. None keeps the live one, or means the default. Raises InvalidArgument."""
    kind = fields.get("deployment_type", "")
    if kind == "serverless":
        return pb.DeploymentConfig(deployment_type=pb.DEPLOYMENT_TYPE_SERVERLESS)
    if kind != "server_based":
        return None
    numbers = {}
    for name, label in (
        ("min_replicas", "Min replicas"),
        ("max_replicas", "Max replicas"),
        ("target_cpu", "Target CPU"),
    ):
        text = fields.get(name, "").strip()
        if not (text.isascii() and text.isdecimal() and len(text) < 9):
            raise InvalidArgument(f"{label} must be a whole number.", fields={name: "must be a whole number"})
        numbers[name] = int(text)
    target = pb.MetricTarget(type="utilization", average_utilization=numbers["target_cpu"])
    metric = pb.Metric(type="resource", resource=pb.ResourceMetric(name="cpu", target=target))
    scaling = pb.Autoscaling(
        min_replicas=numbers["min_replicas"], max_replicas=numbers["max_replicas"], metrics=[metric]
    )
    return pb.DeploymentConfig(
        deployment_type=pb.DEPLOYMENT_TYPE_SERVER_BASED, config=pb.ScalingConfig(autoscaling=scaling)
    )
