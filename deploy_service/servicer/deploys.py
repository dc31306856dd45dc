"""The RPCs that deploy: plan, deploy, roll back, promote."""

from collections.abc import Callable
from uuid import UUID

from deploy_service.deploying import SourceRequest
from deploy_service.deployment_config import config_json
from deploy_service.messages import deployment_message, plan_message
from deploy_service.model import Deployment, check_texts, environment_of, promotion_of
from deploy_service.permissions import project_of_app
from deploy_service.planning import DeployRequest, DeploySpec
from deploy_service.requests import version_of
from deploy_service.servicer.base import ServicerBase
from service_kit.access.caller import current_caller
from service_kit.access.file import Project
from service_kit.fields import optional, optional_id
from service_kit.idempotency import Context, IdempotentCall
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb


class DeployMethods(ServicerBase):
    async def PlanDeploy(self, request: pb.PlanDeployRequest, context: Context) -> pb.PlanDeployResponse:
        plan = await self._deployer.plan(current_caller(), UUID(request.app_id), _asked(request))
        return pb.PlanDeployResponse(data=plan_message(plan))

    async def DeployApp(self, request: pb.DeployAppRequest, context: Context) -> pb.DeployAppResponse:
        check_texts(reason=optional(request, "reason"))
        app_id, asked = UUID(request.app_id), _asked(request)
        project_of = project_of_app(current_caller(), app_id)
        call = IdempotentCall(self._pool, context, request, pb.DeployAppResponse, project_of)

        def answer(deployment: Deployment, spec: DeploySpec) -> pb.DeployAppResponse:
            return pb.DeployAppResponse(data=deployment_message(deployment))

        answered = await self._deployer.deploy(call, app_id, asked, answer)
        await self._settle(answered.data, context)
        return answered

    async def PlanRollback(self, request: pb.PlanRollbackRequest, context: Context) -> pb.PlanRollbackResponse:
        app_id, deployment_id = UUID(request.app_id), optional_id(request, "deployment_id")
        plan = await self._deployer.plan_rollback(current_caller(), app_id, _rollback_request(request), deployment_id)
        return pb.PlanRollbackResponse(data=plan_message(plan))

    async def RollbackApp(self, request: pb.RollbackAppRequest, context: Context) -> pb.RollbackAppResponse:
        check_texts(reason=optional(request, "reason"))
        app_id = UUID(request.app_id)
        project_of = project_of_app(current_caller(), app_id)
        call = IdempotentCall(self._pool, context, request, pb.RollbackAppResponse, project_of)

        def answer(deployment: Deployment, spec: DeploySpec) -> pb.RollbackAppResponse:
            return pb.RollbackAppResponse(data=deployment_message(deployment), message=spec.why)

        deployment_id = optional_id(request, "deployment_id")
        answered = await self._deployer.rollback(call, app_id, _rollback_request(request), deployment_id, answer)
        await self._settle(answered.data, context)
        return answered

    async def PromoteApp(self, request: pb.PromoteAppRequest, context: Context) -> pb.PromoteAppResponse:
        check_texts(reason=optional(request, "reason"))
        app_id = UUID(request.app_id)
        project_of = project_of_app(current_caller(), app_id)
        call = IdempotentCall(self._pool, context, request, pb.PromoteAppResponse, project_of)

        def asked(project: Project) -> tuple[str, SourceRequest]:
            environment, from_environment = optional(request, "environment"), optional(request, "from_environment")
            origin, target = promotion_of(project, environment, from_environment)
            return origin, SourceRequest(target, optional(request, "reason"), request.force)

        def answer(deployment: Deployment, spec: DeploySpec) -> pb.PromoteAppResponse:
            return pb.PromoteAppResponse(data=deployment_message(deployment))

        answered = await self._deployer.promote(call, app_id, asked, answer)
        await self._settle(answered.data, context)
        return answered

    async def _settle(self, message: pb.Deployment, context: Context) -> None:
        """Wait for the rollout, then update the deployment in the message. This also applies to a repeated call."""
        projects = current_caller().visible_projects
        settled = await self._waits.settle(projects, UUID(message.app_id), UUID(message.id), context)
        if settled is not None:
            message.CopyFrom(deployment_message(settled))


def _rollback_request(request: pb.RollbackAppRequest | pb.PlanRollbackRequest) -> Callable[[Project], SourceRequest]:
    is_planned = isinstance(request, pb.RollbackAppRequest)

    def asked(project: Project) -> SourceRequest:
        return SourceRequest(
            environment_of(project, optional(request, "environment")),
            optional(request, "reason") if is_planned else None,
            request.force,
            optional(request, "plan_token") if is_planned else None,
        )

    return asked


def _asked(request: pb.DeployAppRequest | pb.PlanDeployRequest) -> DeployRequest:
    is_planned = isinstance(request, pb.DeployAppRequest)
    version_id, label = version_of(request)
    return DeployRequest(
        environment=optional(request, "environment"),
        workflow_id=UUID(request.workflow_id),
        version_id=version_id,
        label=label,
        runtime_id=optional_id(request, "runtime_id"),
        config=config_json(request.deployment_config) if request.HasField("deployment_config") else None,
        reason=optional(request, "reason") if is_planned else None,
        force=request.force,
        plan_token=optional(request, "plan_token") if is_planned else None,
    )
