"""Deployments to be made: planned, deployed, rolled back, promoted."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from deploy_service import deploying
from deploy_service.config import config_json
from deploy_service.errors import EnvironmentNotFound, PlanOutdated
from deploy_service.messages import deployment_message
from deploy_service.model import check_texts, environment_of, promotion_of
from deploy_service.pins import REFUSED, Resolved
from deploy_service.planning import Order, look_at, plan_message, refused_plan
from deploy_service.repository import apps, deployments
from deploy_service.requests import optional, optional_id
from deploy_service.servicer.rpcs import Rpcs
from deploy_service.sources import Source, promotion_source, rollback_source
from service_kit import auth
from service_kit.access import Project
from service_kit.auth import Caller
from service_kit.db import Connection
from service_kit.idempotency import Context, once, replay
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb

Answer = TypeVar("Answer", bound=Message)


class OrderRpcs(Rpcs):
    async def PlanDeploy(self, request: pb.PlanDeployRequest, context: Context) -> pb.PlanDeployResponse:
        caller = auth.caller()
        app_id = UUID(request.app_id)
        config = config_json(request.deployment_config) if request.HasField("deployment_config") else None
        async with self._pool.acquire() as db:
            project_id, _ = await apps.find_project(db, caller.projects, app_id)
        try:
            environment = environment_of(caller.project(project_id), optional(request, "environment"))
            resolved = await self._resolve(caller, project_id, app_id, request)
        except (EnvironmentNotFound, *REFUSED) as refusal:
            return pb.PlanDeployResponse(data=refused_plan(refusal))
        order = Order(environment, resolved, optional_id(request, "runtime_id"), config, force=request.force)
        async with self._pool.acquire() as db:
            archived = await apps.is_archived(db, project_id, app_id)
            outcome = await look_at(db, project_id, app_id, archived, order)
        return pb.PlanDeployResponse(data=plan_message(outcome, resolved.warnings))

    async def DeployApp(self, request: pb.DeployAppRequest, context: Context) -> pb.DeployAppResponse:
        check_texts(reason=optional(request, "reason"))
        config = config_json(request.deployment_config) if request.HasField("deployment_config") else None

        async def order(caller: Caller, project: Project) -> Order:
            try:
                environment = environment_of(project, optional(request, "environment"))
                resolved = await self._resolve(caller, project.id, UUID(request.app_id), request)
            except (EnvironmentNotFound, *REFUSED):
                if request.HasField("plan_token"):
                    raise PlanOutdated from None  # no plan of this has a token, so it did resolve when it was made
                raise
            return Order(
                environment,
                resolved,
                optional_id(request, "runtime_id"),
                config,
                optional(request, "reason"),
                request.force,
                optional(request, "plan_token"),
            )

        def answer(data: pb.Deployment, order: Order) -> pb.DeployAppResponse:
            return pb.DeployAppResponse(data=data)

        return await self._deploy(request, context, pb.DeployAppResponse, order, answer)

    async def RollbackApp(self, request: pb.RollbackAppRequest, context: Context) -> pb.RollbackAppResponse:
        check_texts(reason=optional(request, "reason"))
        app_id, asked = UUID(request.app_id), optional_id(request, "deployment_id")

        async def order(caller: Caller, project: Project) -> Order:
            environment = environment_of(project, optional(request, "environment"))
            async with self._pool.acquire() as db:
                source = await rollback_source(db, project.id, app_id, environment, asked)
            return await self._order_of(caller, project, environment, source, "rollback", request)

        def answer(data: pb.Deployment, order: Order) -> pb.RollbackAppResponse:
            return pb.RollbackAppResponse(data=data, message=order.why)

        return await self._deploy(request, context, pb.RollbackAppResponse, order, answer)

    async def PromoteApp(self, request: pb.PromoteAppRequest, context: Context) -> pb.PromoteAppResponse:
        check_texts(reason=optional(request, "reason"))
        app_id = UUID(request.app_id)

        async def order(caller: Caller, project: Project) -> Order:
            origin, target = promotion_of(
                project, optional(request, "environment"), optional(request, "from_environment")
            )
            async with self._pool.acquire() as db:
                source = await promotion_source(db, project.id, app_id, origin)
            return await self._order_of(caller, project, target, source, "promote", request)

        def answer(data: pb.Deployment, order: Order) -> pb.PromoteAppResponse:
            return pb.PromoteAppResponse(data=data)

        return await self._deploy(request, context, pb.PromoteAppResponse, order, answer)

    async def _deploy(
        self,
        request: Any,
        context: Context,
        response: type[Answer],
        order_of: Callable[[Caller, Project], Awaitable[Order]],
        answer_of: Callable[[pb.Deployment, Order], Answer],
    ) -> Answer:
        """Make up the order while no connection is held, then write it down once, with its audit event."""
        caller, app_id = auth.caller(), UUID(request.app_id)

        async def project_of(db: Connection) -> UUID:
            project_id, _ = await apps.find_project(db, caller.visible, app_id)
            caller.require(project_id)
            return project_id

        arguments = (self._pool, context, caller, project_of, request, response)
        if (done := await replay(*arguments)) is not None:
            return done
        async with self._pool.acquire() as db:
            project = caller.project(await project_of(db))
        order = await order_of(caller, project)
        action = request.DESCRIPTOR.name.removesuffix("Request")

        async def deploy(db: Connection) -> Answer:
            async with db.transaction():
                deployment = await deploying.deploy(db, self._driver, caller, project.id, app_id, order, action)
            return answer_of(deployment_message(deployment), order)

        return await once(*arguments, deploy)

    async def _resolve(
        self, caller: Caller, project_id: UUID, app_id: UUID, request: pb.DeployAppRequest | pb.PlanDeployRequest
    ) -> Resolved:
        """Asked while no connection is held: a slow workflow service must not take this one down with it."""
        workflow_id, version_id = UUID(request.workflow_id), optional_id(request, "workflow_version_id")
        known = None
        if version_id is not None:
            async with self._pool.acquire() as db:
                known = await deployments.find_pin(db, project_id, app_id, workflow_id, version_id)
        return await self._workflows.resolve(caller, project_id, workflow_id, version_id, known)

    async def _order_of(
        self,
        caller: Caller,
        project: Project,
        environment: str,
        source: Source,
        kind: str,
        request: pb.RollbackAppRequest | pb.PromoteAppRequest,
    ) -> Order:
        """To pin the source again. The workflow service is asked only what is worth a warning."""
        pin = source.deployment.pin
        resolved = await self._workflows.resolve(caller, project.id, pin.workflow_id, pin.version_id, known=pin)
        return Order(
            environment,
            resolved,
            config=source.deployment.config if kind == "rollback" else None,
            reason=optional(request, "reason"),
            force=request.force,
            source=source.deployment,
            kind=kind,
            only_while_live=(source.live.environment, source.live.id) if source.live else None,
            why=source.why,
        )
