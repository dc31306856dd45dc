"""Apps."""

from uuid import UUID

from deploy_service import deploying
from deploy_service.config import SERVERLESS, config_json
from deploy_service.deploying import Ordered
from deploy_service.messages import app_message
from deploy_service.model import check_texts, environment_of
from deploy_service.planning import Order
from deploy_service.repository import app_pages, apps, rollouts
from deploy_service.requests import access_type_of, app_filter, optional, optional_id
from deploy_service.servicer.rpcs import Rpcs
from service_kit import audit, auth
from service_kit.db import Connection
from service_kit.idempotency import Context, once, replay
from service_kit.ids import new_id
from service_kit.paging import page_of
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb


class AppRpcs(Rpcs):
    async def ListApps(self, request: pb.ListAppsRequest, context: Context) -> pb.ListAppsResponse:
        project = auth.caller().project(UUID(request.project_id))
        page = page_of(request, app_pages.SORTS, default="name")
        async with self._pool.acquire() as db:
            found, total = await app_pages.list_apps(db, app_filter(project, request), page)
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
        order = Order(environment, resolved, optional_id(request, "runtime_id"), config)

        async def create(db: Connection) -> pb.CreateAppResponse:
            app_id = new_id()
            async with db.transaction():
                await apps.insert_app(db, project.id, app_id, request.name, request.description, access_type, caller.id)
                await deploying.deploy(db, self._driver, Ordered(caller, project.id, app_id, order, None))
                version = f"v{resolved.pin.version_number}"
                await audit.record(
                    db, caller, project.id, app_id, "CreateApp", app_id, environment=environment, version=version
                )
                app = await apps.get_app(db, [project.id], app_id)
            return pb.CreateAppResponse(data=app_message(app, project, self._domain))

        return await once(*arguments, create)

    async def GetApp(self, request: pb.GetAppRequest, context: Context) -> pb.GetAppResponse:
        caller = auth.caller()
        app = await self._apps.get((caller.projects, UUID(request.app_id)))
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
            await audit.record(db, caller, project.id, app_id, "UpdateApp", app_id)
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
            await audit.record(db, caller, project_id, app_id, "DeleteApp", app_id)
        return pb.DeleteAppResponse(message="deleted")

    async def ArchiveApp(self, request: pb.ArchiveAppRequest, context: Context) -> pb.ArchiveAppResponse:
        caller = auth.caller()
        app_id = UUID(request.app_id)
        async with self._pool.acquire() as db, db.transaction():
            project = caller.project(await apps.lock_app(db, caller.visible, app_id))
            if await apps.archive_app(db, project.id, app_id, caller.id):
                await audit.record(db, caller, project.id, app_id, "ArchiveApp", app_id)
            app = await apps.get_app(db, [project.id], app_id)
        return pb.ArchiveAppResponse(data=app_message(app, project, self._domain))

    async def UnarchiveApp(self, request: pb.UnarchiveAppRequest, context: Context) -> pb.UnarchiveAppResponse:
        caller = auth.caller()
        app_id = UUID(request.app_id)
        async with self._pool.acquire() as db, db.transaction():
            project = caller.project(await apps.lock_app(db, caller.visible, app_id))
            if await apps.unarchive_app(db, project.id, app_id):
                await audit.record(db, caller, project.id, app_id, "UnarchiveApp", app_id)
            app = await apps.get_app(db, [project.id], app_id)
        return pb.UnarchiveAppResponse(data=app_message(app, project, self._domain))

    async def ListAuditEvents(self, request: pb.ListAuditEventsRequest, context: Context) -> pb.ListAuditEventsResponse:
        caller = auth.caller()
        app_id, page = UUID(request.app_id), page_of(request)
        async with self._pool.acquire() as db:
            project_id = await apps.find_project_ever(db, caller.projects, app_id)
            events, total = await audit.list_events(db, [project_id], app_id, page, pb)
        return pb.ListAuditEventsResponse(data=events, pagination=pb.Pagination(**page.of(total)))
