"""The deploy contract's RPCs: read the message, do the work, write the message."""

from uuid import UUID

from deploy_service import deploying
from deploy_service.config import SERVERLESS, config_json
from deploy_service.deploying import Order
from deploy_service.drivers import Driver
from deploy_service.messages import app_message, deployment_message, runtime_message
from deploy_service.model import check_texts, environment_of
from deploy_service.pins import Workflows
from deploy_service.repository import apps, deployments, rollouts, runtimes
from deploy_service.requests import access_type_of, app_filter, history_filter, optional, optional_id
from service_kit import auth
from service_kit.db import Connection, Pool
from service_kit.idempotency import Context, once, replay
from service_kit.ids import new_id
from service_kit.paging import page_of
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2_grpc as rpc

HISTORY_SORTS = {"started_at": "number"}


class DeployServicer(rpc.DeployServiceServicer):
    def __init__(self, pool: Pool, workflows: Workflows, driver: Driver, apps_domain: str) -> None:
        self._pool = pool
        self._workflows = workflows
        self._driver = driver
        self._domain = apps_domain

    async def ListApps(self, request: pb.ListAppsRequest, context: Context) -> pb.ListAppsResponse:
        project = auth.caller().project(UUID(request.project_id))
        page = page_of(request, apps.SORTS, default="name")
        async with self._pool.acquire() as db:
            found, total = await apps.list_apps(db, app_filter(project, request), page)
        messages = [app_message(app, project, self._domain) for app in found]
        return pb.ListAppsResponse(data=messages, pagination=pb.Pagination(**page.of(total)))

    async def CreateApp(self, request: pb.CreateAppRequest, context: Context) -> pb.CreateAppResponse:
        caller = auth.caller()
        project = caller.project(UUID(request.project_id))
        check_texts(name=request.name, description=request.description)
        environment = environment_of(project, optional(request, "environment"))
        config = config_json(request.deployment_config) if request.HasField("deployment_config") else SERVERLESS
        access_type = access_type_of(request) or "private"

        async def project_of(db: Connection) -> UUID:
            return project.id

        arguments = (self._pool, context, caller, project_of, request, pb.CreateAppResponse)
        if (done := await replay(*arguments)) is not None:
            return done
        resolved = await self._workflows.resolve(
            caller, project.id, UUID(request.workflow_id), optional_id(request, "workflow_version_id"), known=None
        )
        order = Order(environment, resolved, optional_id(request, "runtime_id"), config, reason=None)

        async def create(db: Connection) -> pb.CreateAppResponse:
            app_id = new_id()
            async with db.transaction():
                await apps.insert_app(db, project.id, app_id, request.name, request.description, access_type, caller.id)
                await deploying.deploy(db, self._driver, caller, project.id, app_id, order)
                app = await apps.get_app(db, [project.id], app_id)
            return pb.CreateAppResponse(data=app_message(app, project, self._domain))

        return await once(*arguments, create)

    async def GetApp(self, request: pb.GetAppRequest, context: Context) -> pb.GetAppResponse:
        caller = auth.caller()
        async with self._pool.acquire() as db:
            app = await apps.get_app(db, caller.projects, UUID(request.app_id))
        return pb.GetAppResponse(data=app_message(app, caller.project(app.project_id), self._domain))

    async def UpdateApp(self, request: pb.UpdateAppRequest, context: Context) -> pb.UpdateAppResponse:
        caller = auth.caller()
        app_id = UUID(request.app_id)
        name, description = optional(request, "name"), optional(request, "description")
        check_texts(name=name, description=description)
        access_type = access_type_of(request)
        async with self._pool.acquire() as db, db.transaction():
            project = caller.project(await apps.lock_app(db, caller.visible, app_id))
            await apps.update_app(db, [project.id], app_id, name, description, access_type, caller.id)
            app = await apps.get_app(db, [project.id], app_id)
        return pb.UpdateAppResponse(data=app_message(app, project, self._domain))

    async def DeleteApp(self, request: pb.DeleteAppRequest, context: Context) -> pb.DeleteAppResponse:
        caller = auth.caller()
        app_id = UUID(request.app_id)
        async with self._pool.acquire() as db, db.transaction():
            project_id = await apps.lock_app(db, caller.visible, app_id)
            caller.require(project_id)
            await rollouts.end_all(db, project_id, app_id)
            await apps.hide_app(db, project_id, app_id, caller.id)
        return pb.DeleteAppResponse(message="deleted")

    async def DeployApp(self, request: pb.DeployAppRequest, context: Context) -> pb.DeployAppResponse:
        caller = auth.caller()
        app_id, workflow_id = UUID(request.app_id), UUID(request.workflow_id)
        version_id = optional_id(request, "workflow_version_id")
        check_texts(reason=optional(request, "reason"))
        config = config_json(request.deployment_config) if request.HasField("deployment_config") else None

        async def project_of(db: Connection) -> UUID:
            project_id, _ = await apps.find_project(db, caller.visible, app_id)
            caller.require(project_id)
            return project_id

        arguments = (self._pool, context, caller, project_of, request, pb.DeployAppResponse)
        if (done := await replay(*arguments)) is not None:
            return done
        async with self._pool.acquire() as db:
            project = caller.project(await project_of(db))
            known = await deployments.find_pin(db, project.id, app_id, workflow_id, version_id) if version_id else None
        environment = environment_of(project, optional(request, "environment"))
        # Asked while no connection is held: a slow workflow service must not take this one down with it.
        resolved = await self._workflows.resolve(caller, project.id, workflow_id, version_id, known)
        order = Order(environment, resolved, optional_id(request, "runtime_id"), config, optional(request, "reason"))

        async def deploy(db: Connection) -> pb.DeployAppResponse:
            async with db.transaction():
                deployment = await deploying.deploy(db, self._driver, caller, project.id, app_id, order)
            return pb.DeployAppResponse(data=deployment_message(deployment))

        return await once(*arguments, deploy)

    async def ListDeployments(self, request: pb.ListDeploymentsRequest, context: Context) -> pb.ListDeploymentsResponse:
        page = page_of(request, HISTORY_SORTS, default="-started_at")
        newest_first = page.order_by.startswith("number DESC")
        app_id, where = UUID(request.app_id), history_filter(request)
        async with self._pool.acquire() as db:
            project_id, total = await apps.find_project(db, auth.caller().projects, app_id)
            if where.is_open:
                found = await deployments.list_history(db, project_id, app_id, total, page, newest_first=newest_first)
            else:
                found, total = await deployments.search_history(
                    db, project_id, app_id, where, page, newest_first=newest_first
                )
        return pb.ListDeploymentsResponse(
            data=map(deployment_message, found), pagination=pb.Pagination(**page.of(total))
        )

    async def GetDeployment(self, request: pb.GetDeploymentRequest, context: Context) -> pb.GetDeploymentResponse:
        async with self._pool.acquire() as db:
            deployment = await deployments.get_deployment(
                db, auth.caller().projects, UUID(request.app_id), UUID(request.deployment_id)
            )
        return pb.GetDeploymentResponse(data=deployment_message(deployment))

    async def CancelDeployment(
        self, request: pb.CancelDeploymentRequest, context: Context
    ) -> pb.CancelDeploymentResponse:
        caller = auth.caller()
        deployment_id = UUID(request.deployment_id)
        async with self._pool.acquire() as db, db.transaction():
            project_id, app_id = await deployments.find_app_of(db, caller.visible, deployment_id)
            caller.require(project_id)
            await apps.lock_app(db, [project_id], app_id)
            await rollouts.cancel(db, project_id, app_id, deployment_id, None, None)
            deployment = await deployments.get_deployment(db, [project_id], app_id, deployment_id)
            deployment.check_canceled()
        return pb.CancelDeploymentResponse(data=deployment_message(deployment))

    async def ListRuntimes(self, request: pb.ListRuntimesRequest, context: Context) -> pb.ListRuntimesResponse:
        page = page_of(request)
        async with self._pool.acquire() as db:
            found, total = await runtimes.list_runtimes(db, page)
        return pb.ListRuntimesResponse(data=map(runtime_message, found), pagination=pb.Pagination(**page.of(total)))
