"""What all of the deploy contract's RPCs stand on."""

from deploy_service.deploying import Ordered, deploy_together
from deploy_service.drivers import Driver
from deploy_service.model import App, Deployment
from deploy_service.pins import Workflows
from deploy_service.repository import apps
from deploy_service.repository.standings import Target, TargetKey, find_targets
from service_kit.batches import Batches
from service_kit.db import Pool
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2_grpc as rpc

MOST_DEPLOYS = 64
"""In one statement."""


class Rpcs(rpc.DeployServiceServicer):
    def __init__(self, pool: Pool, workflows: Workflows, driver: Driver, apps_domain: str) -> None:
        self._pool = pool
        self._apps: Batches[apps.Key, App] = Batches(pool, apps.find_apps)
        self._targets: Batches[TargetKey, Target] = Batches(pool, find_targets)
        self._deploys: Batches[Ordered, Deployment | None] = Batches(
            pool, lambda db, many: deploy_together(db, driver, many), most=MOST_DEPLOYS
        )
        self._workflows = workflows
        self._driver = driver
        self._domain = apps_domain
