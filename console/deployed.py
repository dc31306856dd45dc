"""The words for apps and deployments on pages."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from console.failures import failure_of
from console.shown import word
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb

OPEN = (pb.DEPLOYMENT_STATUS_PENDING, pb.DEPLOYMENT_STATUS_DEPLOYING)
STATUSES = {
    pb.DEPLOYMENT_STATUS_PENDING: ("Pending", "busy"),
    pb.DEPLOYMENT_STATUS_DEPLOYING: ("Deploying", "busy"),
    pb.DEPLOYMENT_STATUS_SUCCEEDED: ("Succeeded", "quiet"),
    pb.DEPLOYMENT_STATUS_FAILED: ("Failed", "bad"),
    pb.DEPLOYMENT_STATUS_CANCELED: ("Canceled", "note"),
}


def status_of(deployment: pb.Deployment) -> tuple[str, str]:
    """The word and the tone of a deployment's status."""
    if deployment.live:
        return "Live", "good"
    return STATUSES.get(deployment.status, ("Unknown", "quiet"))


def kind_of(deployment: pb.Deployment) -> str:
    return word(deployment.kind, pb.DeploymentKind).capitalize()


def health_of(deployment: pb.Deployment) -> str:
    """The mark of a deployment: good, bad, or empty."""
    return word(deployment.health, pb.DeploymentHealth) if deployment.HasField("health") else ""


def config_words(config: pb.DeploymentConfig | str) -> str:
    """A configuration in words, such as `Server-based, 1 to 2 replicas, at 80 % CPU`. Accepts JSON, as in plans."""
    given = json.loads(config) if isinstance(config, str) else _config_json(config)
    if given.get("deployment_type") != "server_based":
        return "Serverless"
    scaling = given.get("config", {}).get("autoscaling", {})
    least, most = scaling.get("min_replicas"), scaling.get("max_replicas")
    replicas = f"{least} replica{'' if least == 1 else 's'}" if least == most else f"{least} to {most} replicas"
    targets = [
        metric.get("resource", {}).get("target", {}).get("average_utilization") for metric in scaling.get("metrics", [])
    ]
    return f"Server-based, {replicas}" + "".join(f", at {each} % CPU" for each in targets if each)


def _config_json(config: pb.DeploymentConfig) -> dict[str, Any]:
    scaling = config.config.autoscaling
    return {
        "deployment_type": word(config.deployment_type, pb.DeploymentType).replace(" ", "_"),
        "config": {
            "autoscaling": {
                "min_replicas": scaling.min_replicas,
                "max_replicas": scaling.max_replicas,
                "metrics": [
                    {"resource": {"target": {"average_utilization": each.resource.target.average_utilization}}}
                    for each in scaling.metrics
                ],
            }
        },
    }


GLOBALS: Mapping[str, Callable[..., Any]] = {
    "status_of": status_of,
    "kind_of": kind_of,
    "health_of": health_of,
    "config_words": config_words,
    "as_text": str,
    "failure_of": failure_of,
    "is_open": lambda deployment: deployment.status in OPEN,
    "is_archived": lambda app: app.HasField("archived_at"),
    "is_public": lambda app: app.access_control.access_type == pb.ACCESS_TYPE_PUBLIC,
}
