"""Deployments that have been asked for: read, marked, canceled."""

from uuid import UUID

from deploy_service import deploying
from deploy_service.messages import deployment_message
from deploy_service.model import check_texts
from deploy_service.repository import apps, deployments, history, marks, rollouts
from deploy_service.requests import health_of, history_filter, optional
from deploy_service.rollouts import OUTCOMES
from deploy_service.servicer.rpcs import Rpcs
from service_kit import auth
from service_kit.idempotency import Context
from service_kit.paging import page_of
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb

HISTORY_SORTS = {"started_at": "number"}


class DeploymentRpcs(Rpcs):
    async def ListDeployments(self, request: pb.ListDeploymentsRequest, context: Context) -> pb.ListDeploymentsResponse:
        page = page_of(request, HISTORY_SORTS, default="-started_at")
        newest_first = page.order_by.startswith("number DESC")
        app_id, where = UUID(request.app_id), history_filter(request)
        async with self._pool.acquire() as db:
            project_id, total = await apps.find_project(db, auth.caller().projects, app_id)
            if where.is_open:
                found = await history.list_history(db, project_id, app_id, total, page, newest_first=newest_first)
            else:
                found, total = await history.search_history(
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

    async def MarkDeployment(self, request: pb.MarkDeploymentRequest, context: Context) -> pb.MarkDeploymentResponse:
        caller = auth.caller()
        deployment_id, health, note = UUID(request.deployment_id), health_of(request), optional(request, "note")
        check_texts(note=note)
        async with self._pool.acquire() as db, db.transaction():
            project_id, app_id = await deployments.find_app_of(db, caller.visible, deployment_id)
            caller.require(project_id)
            await apps.lock_app(db, [project_id], app_id)
            await marks.mark(db, project_id, app_id, deployment_id, health, note)
            deployment = await deployments.get_deployment(db, [project_id], app_id, deployment_id)
            await deploying.note(db, caller, "MarkDeployment", deployment, health=health)
        return pb.MarkDeploymentResponse(data=deployment_message(deployment))

    async def CancelDeployment(
        self, request: pb.CancelDeploymentRequest, context: Context
    ) -> pb.CancelDeploymentResponse:
        caller = auth.caller()
        deployment_id = UUID(request.deployment_id)
        async with self._pool.acquire() as db, db.transaction():
            project_id, app_id = await deployments.find_app_of(db, caller.visible, deployment_id)
            caller.require(project_id)
            await apps.lock_app(db, [project_id], app_id)
            canceled = await rollouts.cancel(db, project_id, app_id, deployment_id, None, None)
            deployment = await deployments.get_deployment(db, [project_id], app_id, deployment_id)
            deployment.check_canceled()
            if canceled:
                await deploying.note(db, caller, "CancelDeployment", deployment)
                OUTCOMES.labels("canceled").inc()
        return pb.CancelDeploymentResponse(data=deployment_message(deployment))
