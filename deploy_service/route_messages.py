"""Builds the routing contract's messages for routes."""

import json
from collections.abc import Sequence
from typing import Any

from deploy_service.messages import hostname_of
from deploy_service.repository.routes import AppRoute, RouteKey, RoutePin
from service_kit.access.file import Project
from service_kit.pb.flowpin.routing.v1 import routing_pb2 as pb
from service_kit.times import timestamp


def route_message(route: AppRoute, project: Project, domain: str) -> pb.Route:
    """`project` owns the app; `domain` is the setting for the domain of apps."""
    default = project.environments[-1]
    return pb.Route(
        project_id=str(route.project_id),
        app_id=str(route.app_id),
        hostname=hostname_of(route.app_id, default, project, domain),
        access_type=pb.AccessType.Value(f"ACCESS_TYPE_{route.access_type.upper()}"),
        archived=route.archived,
        revision=route.revision,
        environments=[
            _environment(route, name, hostname_of(route.app_id, name, project, domain), name == default)
            for name in project.environments
        ],
    )


def _environment(route: AppRoute, name: str, hostname: str, is_default: bool) -> pb.EnvironmentRoute:
    pins = [pin for pin in route.pins if pin.environment == name]
    return pb.EnvironmentRoute(
        environment=name,
        is_default=is_default,
        hostname=hostname,
        live=next((_pin(pin) for pin in pins if pin.is_live), None),
        rolling_out=[_pin(pin) for pin in pins if not pin.is_live],
    )


def deleted_message(project_id: object, app_id: object) -> pb.Route:
    return pb.Route(project_id=str(project_id), app_id=str(app_id), deleted=True)


def keys_message(project_id: object, keys: Sequence[RouteKey]) -> pb.ProjectKeys:
    return pb.ProjectKeys(
        project_id=str(project_id),
        keys=[
            pb.AccessKey(
                id=str(key.id),
                key_hash=key.secret_hash,
                preview=key.preview,
                expires_at=timestamp(key.expires_at) if key.expires_at else None,
            )
            for key in keys
        ],
    )


def _pin(pin: RoutePin) -> pb.Pin:
    return pb.Pin(
        deployment_id=str(pin.deployment_id),
        number=pin.number,
        version_id=str(pin.version_id),
        version_number=pin.version_number,
        flow_digest=pin.version_digest.hex(),
        loadable_digest=pin.loadable_digest.hex() if pin.loadable_digest else "",
        runtime_version=pin.runtime_version,
        scaling=_scaling(json.loads(pin.config)),
        variables_revision=pin.variables_revision,
        started_at=timestamp(pin.started_at),
        runtime_digest=pin.runtime_digest.hex() if pin.runtime_digest else "",
    )


def _scaling(config: dict[str, Any]) -> pb.Scaling:
    if config["deployment_type"] != "server_based":
        return pb.Scaling()
    autoscaling = config["config"]["autoscaling"]
    return pb.Scaling(
        server_based=True,
        min_replicas=autoscaling["min_replicas"],
        max_replicas=autoscaling["max_replicas"],
        targets=[
            pb.UtilizationTarget(
                resource=metric["resource"]["name"],
                average_utilization=metric["resource"]["target"]["average_utilization"],
            )
            for metric in autoscaling["metrics"]
        ],
    )
