"""RPCs about apps."""

from uuid import UUID

from deploy_service.deploying import NewApp
from deploy_service.deployment_config import SERVERLESS, config_json
from deploy_service.errors import AppNotFound
from deploy_service.messages import app_message
from deploy_service.model import App, check_texts, environment_of
from deploy_service.permissions import lock_app
from deploy_service.planning import DeployRequest
from deploy_service.repository import app_pages, apps, audit_events, rollouts
from deploy_service.requests import access_type_of, app_filter, version_of
from deploy_service.rollouts import count_canceled
from deploy_service.servicer.base import ServicerBase
from deploy_service.signals import Topic
from service_kit import audit
from service_kit.access.caller import current_caller
from service_kit.access.file import Project
from service_kit.db import FAILURES
from service_kit.fields import optional, optional_id
from service_kit.idempotency import Context, IdempotentCall, in_project
from service_kit.paging import page_of
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from service_kit.times import between


class AppMethods(ServicerBase):
    async def ListApps(self, request: pb.ListAppsRequest, context: Context) -> pb.ListAppsResponse:
        project = current_caller().project(UUID(request.project_id))
        page = page_of(request, app_pages.SORTS, default="name")
        async with self._pages.acquire() as db:
            found, total = await app_pages.list_apps(db, app_filter(project, request), page)
        messages = [app_message(app, project, self._domain) for app in found]
        return pb.ListAppsResponse(data=messages, pagination=pb.Pagination(**page.of(total)))

    async def CreateApp(self, request: pb.CreateAppRequest, context: Context) -> pb.CreateAppResponse:
        project = current_caller().project(UUID(request.project_id))
        check_texts(name=request.name, description=request.description)
        version_id, label = version_of(request)
        asked = DeployRequest(
            environment=optional(request, "environment"),
            workflow_id=UUID(request.workflow_id),
            version_id=version_id,
            label=label,
            runtime_id=optional_id(request, "runtime_id"),
            config=config_json(request.deployment_config) if request.HasField("deployment_config") else SERVERLESS,
        )
        environment_of(project, asked.environment)  # raises before a stored answer is searched for
        new = NewApp(request.name, request.description, access_type_of(request) or "private")
        call = IdempotentCall(self._pool, context, request, pb.CreateAppResponse, in_project(project.id))

        def answer(app: App) -> pb.CreateAppResponse:
            return pb.CreateAppResponse(data=app_message(app, project, self._domain))

        answered = await self._deployer.create(call, project, new, asked, answer)
        await self._settle_app(answered.data, project, context)
        return answered

    async def _settle_app(self, message: pb.App, project: Project, context: Context) -> None:
        """Wait for the app's first rollout, then update what is live in the message."""
        app_id, first = UUID(message.id), UUID(message.latest_deployment_id)
        if await self._waits.settle([project.id], app_id, first, context) is None:
            return
        try:
            app = await self._app_reads.get((project.id,), app_id)
        except (AppNotFound, *FAILURES):
            return  # the app was deleted since, or the database is down; the change is committed
        message.CopyFrom(app_message(app, project, self._domain))

    async def GetApp(self, request: pb.GetAppRequest, context: Context) -> pb.GetAppResponse:
        caller = current_caller()
        app = await self._app_reads.get(caller.permitted_projects, UUID(request.app_id))
        return pb.GetAppResponse(data=app_message(app, caller.project(app.project_id), self._domain))

    async def UpdateApp(self, request: pb.UpdateAppRequest, context: Context) -> pb.UpdateAppResponse:
        caller = current_caller()
        app_id = UUID(request.app_id)
        name, description = optional(request, "name"), optional(request, "description")
        check_texts(name=name, description=description)
        access_type = access_type_of(request)
        async with self._pool.acquire_to_change(app_id) as db, db.transaction():
            project = await lock_app(db, caller, app_id)
            if await apps.update_app(db, [project.id], app_id, name, description, access_type, caller.id):
                await audit.record(db, caller, project.id, app_id, "UpdateApp", app_id)
            app = await apps.get_app(db, [project.id], app_id)
        self._signals.send(Topic.CHANGED, app_id)
        return pb.UpdateAppResponse(data=app_message(app, project, self._domain))

    async def DeleteApp(self, request: pb.DeleteAppRequest, context: Context) -> pb.DeleteAppResponse:
        caller = current_caller()
        app_id = UUID(request.app_id)
        async with self._pool.acquire_to_change(app_id) as db, db.transaction():
            project = await lock_app(db, caller, app_id)
            await rollouts.end_all_live(db, project.id, app_id)
            canceled = await rollouts.cancel_all(db, project.id, app_id, None, None)
            await apps.hide_app(db, project.id, app_id, caller.id)
            await audit.record(db, caller, project.id, app_id, "DeleteApp", app_id)
        count_canceled(canceled)
        self._tell_ended(app_id)
        return pb.DeleteAppResponse(message="deleted")

    async def ArchiveApp(self, request: pb.ArchiveAppRequest, context: Context) -> pb.ArchiveAppResponse:
        caller = current_caller()
        app_id = UUID(request.app_id)
        async with self._pool.acquire_to_change(app_id) as db, db.transaction():
            project = await lock_app(db, caller, app_id)
            # The live deployments of an archived app do not change.
            canceled = await rollouts.cancel_all(db, project.id, app_id, "APP_ARCHIVED", "The app was archived.")
            if await apps.archive_app(db, project.id, app_id, caller.id):
                await audit.record(db, caller, project.id, app_id, "ArchiveApp", app_id)
            app = await apps.get_app(db, [project.id], app_id)
        count_canceled(canceled)
        self._tell_ended(app_id)
        return pb.ArchiveAppResponse(data=app_message(app, project, self._domain))

    async def UnarchiveApp(self, request: pb.UnarchiveAppRequest, context: Context) -> pb.UnarchiveAppResponse:
        caller = current_caller()
        app_id = UUID(request.app_id)
        async with self._pool.acquire_to_change(app_id) as db, db.transaction():
            project = await lock_app(db, caller, app_id)
            if await apps.unarchive_app(db, project.id, app_id):
                await audit.record(db, caller, project.id, app_id, "UnarchiveApp", app_id)
            app = await apps.get_app(db, [project.id], app_id)
        self._signals.send(Topic.CHANGED, app_id)
        return pb.UnarchiveAppResponse(data=app_message(app, project, self._domain))

    async def ListAuditEvents(self, request: pb.ListAuditEventsRequest, context: Context) -> pb.ListAuditEventsResponse:
        caller = current_caller()
        app_id, page = UUID(request.app_id), page_of(request)
        async with self._pages.acquire() as db:
            project_id = await apps.find_project_ever(db, caller.permitted_projects, app_id)
            events, total = await audit.list_events(db, [project_id], app_id, page, pb)
        return pb.ListAuditEventsResponse(data=events, pagination=pb.Pagination(**page.of(total)))

    async def ListProjectAppAuditEvents(
        self, request: pb.ListProjectAppAuditEventsRequest, context: Context
    ) -> pb.ListProjectAppAuditEventsResponse:
        project = current_caller().project(UUID(request.project_id))
        page, (first, last) = page_of(request), between("created_at", request.created_at)
        async with self._pages.acquire() as db:
            found, total = await audit_events.list_project_events(db, project.id, first, last, page)
        return pb.ListProjectAppAuditEventsResponse(
            data=audit.messages(found, pb, ("app_id", "app_name")), pagination=pb.Pagination(**page.of(total))
        )
