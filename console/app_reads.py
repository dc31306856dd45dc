"""Reads of the deploy service that several pages of apps share."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from aiohttp import web

from console.shown import word
from console.streams import follow
from console.visit import Visit
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb

ID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
APP = f"/apps/{{app_id:{ID}}}"
"""The path of an app's pages. With a malformed id, the page does not exist."""
MAX_RUNTIMES = 100


async def open_app(visit: Visit) -> pb.App:
    """The app in the page's path. Sets the page's project to the app's. Raises ServiceError."""
    request = pb.GetAppRequest(app_id=visit.request.match_info["app_id"])
    app = (await visit.call(request, pb.GetAppResponse)).data
    visit.enter(app.project_id)
    return app


async def live_of(visit: Visit, apps: Sequence[pb.App]) -> Mapping[str, pb.Deployment]:
    """The live deployments of the apps, by their ids. A deployment deleted meanwhile is left out."""
    wanted = [(app.id, each.deployment_id) for app in apps for each in app.environments if each.deployment_id]
    found = await asyncio.gather(*(_find(visit, *each) for each in wanted))
    return {each.id: each for each in found if each is not None}


async def _find(visit: Visit, app_id: str, deployment_id: str) -> pb.Deployment | None:
    request = pb.GetDeploymentRequest(app_id=app_id, deployment_id=deployment_id)
    try:
        return (await visit.call(request, pb.GetDeploymentResponse)).data
    except ServiceError as error:
        if error.reason == "DEPLOYMENT_NOT_FOUND":
            return None
        raise


def environment_of(app: pb.App, name: str) -> pb.EnvironmentState:
    """The app's environment of this name. Otherwise the last one, which is the default."""
    return next((each for each in app.environments if each.name == name), app.environments[-1])


async def find_live_flow(visit: Visit, app: pb.App, environment: pb.EnvironmentState) -> pb.DeploymentFlow:
    """The live flow of an environment. Empty when nothing is live. Raises ServiceError."""
    if not environment.deployment_id:
        return pb.DeploymentFlow()
    asked = pb.GetDeploymentFlowRequest(app_id=app.id, deployment_id=environment.deployment_id)
    return (await visit.call(asked, pb.GetDeploymentFlowResponse)).data


async def list_runtimes(visit: Visit) -> Sequence[pb.Runtime]:
    """The runtimes, the default first. Raises ServiceError."""
    request = pb.ListRuntimesRequest(page_size=MAX_RUNTIMES)
    return (await visit.call(request, pb.ListRuntimesResponse)).data


async def follow_deployments(visit: Visit, asked: pb.WatchDeploymentsRequest) -> web.StreamResponse:
    """Raises ServiceError."""

    async def names() -> AsyncGenerator[str, None]:
        messages = visit.console.services.stream(asked, pb.WatchDeploymentsResponse, visit.metadata)
        async with aclosing(messages):
            async for message in messages:
                yield word(message.event, pb.DeploymentEvent).replace(" ", "_")

    async with aclosing(names()) as events:
        return await follow(visit.request, events)
