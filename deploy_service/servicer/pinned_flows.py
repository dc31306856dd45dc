"""RPCs about pinned flows, and where they are live."""

from uuid import UUID

from google.api.httpbody_pb2 import HttpBody

from deploy_service.messages import live_pin_message, version_ref
from deploy_service.model import Deployment
from deploy_service.repository import deployments, flows, live_pins
from deploy_service.servicer.base import ServicerBase
from service_kit.access.caller import current_caller
from service_kit.fields import optional_id
from service_kit.idempotency import Context
from service_kit.paging import page_of
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb


class PinnedFlowMethods(ServicerBase):
    async def GetDeploymentFlow(
        self, request: pb.GetDeploymentFlowRequest, context: Context
    ) -> pb.GetDeploymentFlowResponse:
        deployment, flow = await self._pinned(request.app_id, request.deployment_id)
        version = version_ref(deployment)
        return pb.GetDeploymentFlowResponse(
            data=pb.DeploymentFlow(
                deployment_id=str(deployment.id),
                workflow_id=str(deployment.pin.workflow_id),
                workflow_version_id=str(deployment.pin.version_id),
                workflow_version=version,
                digest=version.digest,
                flow=pb.Json(utf8=flow),
            )
        )

    async def ExportDeployment(
        self, request: pb.ExportDeploymentRequest, context: Context
    ) -> pb.ExportDeploymentResponse:
        deployment, flow = await self._pinned(request.app_id, request.deployment_id)
        archive = await self._workflows.export(
            current_caller(), deployment.project_id, flow, deployment.pin.version_number
        )
        return pb.ExportDeploymentResponse(data=HttpBody(content_type="application/octet-stream", data=archive))

    async def ListLivePins(self, request: pb.ListLivePinsRequest, context: Context) -> pb.ListLivePinsResponse:
        project = current_caller().project(UUID(request.project_id))
        page, version_id = page_of(request), optional_id(request, "workflow_version_id")
        async with self._pages.acquire() as db:
            found, total = await live_pins.list_live_pins(db, project.id, UUID(request.workflow_id), version_id, page)
        return pb.ListLivePinsResponse(data=map(live_pin_message, found), pagination=pb.Pagination(**page.of(total)))

    async def _pinned(self, app_id: str, deployment_id: str) -> tuple[Deployment, bytes]:
        """A deployment and its flow. Raises DeploymentNotFound."""
        projects = current_caller().permitted_projects
        async with self._pages.acquire() as db:
            deployment = await deployments.get_deployment(db, projects, UUID(app_id), UUID(deployment_id))
            return deployment, await flows.get_flow(db, deployment.project_id, deployment.pin.version_digest)
