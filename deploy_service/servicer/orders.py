"""Deployments to be made: planned, deployed, rolled back, promoted."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from deploy_service import deploying
from deploy_service.config import config_json
from deploy_service.deploying import Ordered
from deploy_service.errors import EnvironmentNotFound, PlanOutdated
from deploy_service.messages import deployment_message
from deploy_service.model import Pin, check_texts, environment_of, promotion_of
from deploy_service.pins import REFUSED
from deploy_service.planning import Order, outcome_of, plan_message, refused_plan, token_of
from deploy_service.repository import apps
from deploy_service.repository.standings import find_standings
from deploy_service.requests import optional, optional_id
from deploy_service.servicer.rpcs import Rpcs
from deploy_service.sources import Source, promotion_source, rollback_source
from service_kit import auth
from service_kit.access import Project
from service_kit.auth import Caller
from service_kit.db import Connection
from service_kit.errors import ServiceError
from service_kit.idempotency import Context, once, replay
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb

Answer = TypeVar("Answer", bound=Message)


class OrderRpcs(Rpcs):
    async def PlanDeploy(self, request: pb.PlanDeployRequest, context: Context) -> pb.PlanDeployResponse:
        caller = auth.caller()
        app_id = UUID(request.app_id)
        config = config_json(request.deployment_config) if request.HasField("deployment_config") else None
        target = await self._targets.get((caller.projects, app_id, *_version_of(request)))
        try:
            environment = environment_of(caller.project(target.project_id), optional(request, "environment"))
            resolved = await self._workflows.resolve(caller, target.project_id, *_version_of(request), target.known)
        except (EnvironmentNotFound, *REFUSED) as refusal:
            return pb.PlanDeployResponse(data=refused_plan(refusal))
        order = Order(environment, resolved, optional_id(request, "runtime_id"), config, force=request.force)
        async with self._pool.acquire() as db:
            (standing,) = await find_standings(db, [order.key(target.project_id, app_id)])
        if isinstance(standing, ServiceError):
            raise standing
        outcome = outcome_of(order, standing)
        token = token_of(target.project_id, app_id, order, outcome)
        return pb.PlanDeployResponse(data=plan_message(order, outcome, token))

    async def DeployApp(self, request: pb.DeployAppRequest, context: Context) -> pb.DeployAppResponse:
        check_texts(reason=optional(request, "reason"))
        config = config_json(request.deployment_config) if request.HasField("deployment_config") else None

        async def order(caller: Caller, project: Project, known: Pin | None) -> Order:
            try:
                environment = environment_of(project, optional(request, "environment"))
                resolved = await self._workflows.resolve(caller, project.id, *_version_of(request), known)
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

        return await self._deploy(request, context, pb.DeployAppResponse, order, answer, _version_of(request))

    async def RollbackApp(self, request: pb.RollbackAppRequest, context: Context) -> pb.RollbackAppResponse:
        check_texts(reason=optional(request, "reason"))
        app_id, asked = UUID(request.app_id), optional_id(request, "deployment_id")

        async def order(caller: Caller, project: Project, known: Pin | None) -> Order:
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

        async def order(caller: Caller, project: Project, known: Pin | None) -> Order:
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
        order_of: Callable[[Caller, Project, Pin | None], Awaitable[Order]],
        answer_of: Callable[[pb.Deployment, Order], Answer],
        version: tuple[UUID | None, UUID | None] = (None, None),
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
        target = await self._targets.get((caller.visible, app_id, *version))
        project = caller.project(target.project_id)
        # A slow workflow service must not take this one down with it.
        order = await order_of(caller, project, target.known)
        ordered = Ordered(caller, project.id, app_id, order, request.DESCRIPTOR.name.removesuffix("Request"))
        if caller.idempotency_key is None and order.goes_together:
            deployment = await self._deploys.get(ordered)
            if deployment is not None:
                return answer_of(deployment_message(deployment), order)

        async def deploy(db: Connection) -> Answer:
            async with db.transaction():
                deployment = await deploying.deploy(db, self._driver, ordered)
            return answer_of(deployment_message(deployment), order)

        return await once(*arguments, deploy)

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


def _version_of(request: pb.DeployAppRequest | pb.PlanDeployRequest) -> tuple[UUID, UUID | None]:
    return UUID(request.workflow_id), optional_id(request, "workflow_version_id")
