"""Base class of the servicers of DeployService."""

from uuid import UUID

from deploy_service.app_reads import AppReads
from deploy_service.deploying import Deployer
from deploy_service.drivers import Driver
from deploy_service.rollout_waits import RolloutWaits
from deploy_service.sealing import Sealer
from deploy_service.signals import Topic
from deploy_service.workflow_client import WorkflowClient
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2_grpc as rpc
from service_kit.pools import Pools
from service_kit.serving.watches import Watches
from service_kit.signals import Signals


class ServicerBase(rpc.DeployServiceServicer):
    def __init__(
        self,
        pools: Pools,
        workflows: WorkflowClient,
        driver: Driver,
        signals: Signals,
        waits: RolloutWaits,
        watches: Watches,
        sealer: Sealer,
        apps_domain: str,
    ) -> None:
        self._pool, self._pages = pools.hot, pools.pages
        self._app_reads = AppReads(pools.hot)
        self._workflows = workflows
        self._deployer = Deployer(pools.hot, workflows, driver, signals)
        self._signals = signals
        self._waits = waits
        self._watches = watches
        self._sealer = sealer
        self._domain = apps_domain

    def _tell_ended(self, app_id: UUID) -> None:
        """Notify other replicas that rollouts of the app were ended."""
        self._signals.send(Topic.CHANGED, app_id)
        self._signals.send(Topic.ROUTED, app_id)
