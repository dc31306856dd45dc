"""The deploy contract's RPCs, by noun: read the message, do the work, write the message."""

from deploy_service.servicer.access_keys import AccessKeyMethods
from deploy_service.servicer.apps import AppMethods
from deploy_service.servicer.deployments import DeploymentMethods
from deploy_service.servicer.deploys import DeployMethods
from deploy_service.servicer.pinned_flows import PinnedFlowMethods
from deploy_service.servicer.runtimes import RuntimeMethods
from deploy_service.servicer.variables import VariableMethods
from deploy_service.servicer.watching import WatchMethods
from service_kit.idempotency import Context
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb


class DeployServicer(
    AppMethods,
    DeployMethods,
    DeploymentMethods,
    PinnedFlowMethods,
    RuntimeMethods,
    AccessKeyMethods,
    VariableMethods,
    WatchMethods,
):
    """Implements DeployService."""

    async def Ping(self, request: pb.PingRequest, context: Context) -> pb.PingResponse:
        return pb.PingResponse()
