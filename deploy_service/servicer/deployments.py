"""RPCs about existing deployments: read, mark, cancel."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from deploy_service.deploying import record_action
from deploy_service.messages import deployment_message
from deploy_service.model import check_texts
from deploy_service.permissions import app_of_deployment
from deploy_service.repository import apps, deployments, history, rollouts
from deploy_service.requests import health_of, history_filter
from deploy_service.rollouts import count_canceled
from deploy_service.servicer.base import ServicerBase
from deploy_service.signals import Topic
from service_kit.access.caller import Caller, current_caller
from service_kit.db import Connection
from service_kit.fields import optional
from service_kit.idempotency import Context
from service_kit.paging import page_of
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb

HISTORY_SORTS = {"started_at": "number"}


class DeploymentMethods(ServicerBase):
    async def ListDeployments(self, request: pb.ListDeploymentsRequest, context: Context) -> pb.ListDeploymentsResponse:
        page = page_of(request, HISTORY_SORTS, default="-started_at")
        newest_first = page.order_by.startswith("number DESC")
        app_id, where = UUID(request.app_id), history_filter(request)
        projects = current_caller().permitted_projects
        async with self._pages.acquire() as db:
            if where.is_open:
                found, total = await history.list_history(db, projects, app_id, page, newest_first=newest_first)
            else:
                project_id = await apps.find_project(db, projects, app_id)
                found, total = await history.search_history(
                    db, project_id, app_id, where, page, newest_first=newest_first
                )
        return pb.ListDeploymentsResponse(
            data=map(deployment_message, found), pagination=pb.Pagination(**page.of(total))
        )

    async def GetDeployment(self, request: pb.GetDeploymentRequest, context: Context) -> pb.GetDeploymentResponse:
        async with self._pool.acquire() as db:
            deployment = await deployments.get_deployment(
                db, current_caller().permitted_projects, UUID(request.app_id), UUID(request.deployment_id)
            )
        return pb.GetDeploymentResponse(data=deployment_message(deployment))

    @asynccontextmanager
    async def _changing_app_of(
        self, caller: Caller, deployment_id: UUID
    ) -> AsyncIterator[tuple[Connection, UUID, UUID]]:
        """Open a transaction and lock the deployment's app. Yields the ids of the project and the app."""
        async with self._pool.acquire() as db:
            project_id, app_id = await app_of_deployment(db, caller, deployment_id)
        async with self._pool.acquire_to_change(app_id) as db, db.transaction():
            await apps.lock_app(db, [project_id], app_id)
            yield db, project_id, app_id

    async def MarkDeployment(self, request: pb.MarkDeploymentRequest, context: Context) -> pb.MarkDeploymentResponse:
        caller = current_caller()
        deployment_id, health, note = UUID(request.deployment_id), health_of(request), optional(request, "note")
        check_texts(note=note)
        async with self._changing_app_of(caller, deployment_id) as (db, project_id, app_id):
            await deployments.mark(db, project_id, app_id, deployment_id, health, note)
            deployment = await deployments.get_deployment(db, [project_id], app_id, deployment_id)
            await record_action(db, caller, "MarkDeployment", deployment, health=health)
        self._signals.send(Topic.MARKED, deployment.app_id)
        return pb.MarkDeploymentResponse(data=deployment_message(deployment))

    async def CancelDeployment(
        self, request: pb.CancelDeploymentRequest, context: Context
    ) -> pb.CancelDeploymentResponse:
        caller = current_caller()
        deployment_id = UUID(request.deployment_id)
        async with self._changing_app_of(caller, deployment_id) as (db, project_id, app_id):
            canceled = await rollouts.cancel(db, project_id, app_id, deployment_id, None, None)
            deployment = await deployments.get_deployment(db, [project_id], app_id, deployment_id)
            deployment.check_canceled()
            if canceled:
                await record_action(db, caller, "CancelDeployment", deployment)
                count_canceled(1)
        self._tell_ended(deployment.app_id)
        return pb.CancelDeploymentResponse(data=deployment_message(deployment))
