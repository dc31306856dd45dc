"""The shared parts of the use cases for calls."""

from dataclasses import dataclass
from pathlib import Path

from run_service.router.calls import Calls
from run_service.supply.deploy_client import DeployClient
from run_service.supply.replicas import Replicas
from run_service.supply.route_table import RouteTable
from run_service.supply.throwaways import Throwaways
from run_service.workflow_client import WorkflowClient


@dataclass(frozen=True, slots=True)
class Parts:
    table: RouteTable
    replicas: Replicas
    calls: Calls
    throwaways: Throwaways
    deploys: DeployClient
    workflows: WorkflowClient
    runtimes: Path
    """The folder of the installed runtimes."""
    run_seconds: float
    max_call_bytes: int
