"""Drivers start deployments. Each has a module."""

from deploy_service.drivers.driver import Driver, RolloutFailed
from deploy_service.drivers.instant import InstantDriver
from deploy_service.drivers.local import LocalDriver
from deploy_service.drivers.scripted import ScriptedDriver

__all__ = ["Driver", "InstantDriver", "LocalDriver", "RolloutFailed", "ScriptedDriver"]
