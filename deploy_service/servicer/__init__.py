"""The deploy contract's RPCs, by noun: read the message, do the work, write the message."""

from deploy_service.servicer.access_keys import AccessKeyRpcs
from deploy_service.servicer.apps import AppRpcs
from deploy_service.servicer.deployments import DeploymentRpcs
from deploy_service.servicer.orders import OrderRpcs
from deploy_service.servicer.runtimes import RuntimeRpcs


class DeployServicer(AppRpcs, OrderRpcs, DeploymentRpcs, RuntimeRpcs, AccessKeyRpcs):
    """All of DeployService."""
