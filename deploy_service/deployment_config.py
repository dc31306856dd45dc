"""Checks and completes deployment configurations. They are stored as the JSON that REST callers see."""

import json
from typing import Any

from service_kit.errors import InvalidFields
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb

MAX_REPLICAS = 100
CPU_AT_80 = {
    "type": "resource",
    "resource": {"name": "cpu", "target": {"type": "utilization", "average_utilization": 80}},
}
SERVERLESS = b'{"deployment_type": "serverless", "config": {}}'


def config_json(config: pb.DeploymentConfig) -> bytes:
    """The complete configuration as JSON. Raises InvalidFields naming each field that breaks a rule."""
    if config.deployment_type == pb.DEPLOYMENT_TYPE_SERVERLESS:
        if config.config.HasField("autoscaling"):
            raise InvalidFields({"deployment_config.config.autoscaling": "must be omitted for serverless deployments"})
        return SERVERLESS
    if config.deployment_type != pb.DEPLOYMENT_TYPE_SERVER_BASED:
        raise InvalidFields({"deployment_config.deployment_type": "must be serverless or server_based"})
    if not config.config.HasField("autoscaling"):
        raise InvalidFields({"deployment_config.config.autoscaling": "is required for server_based deployments"})
    autoscaling = _autoscaling(config.config.autoscaling)
    return json.dumps({"deployment_type": "server_based", "config": {"autoscaling": autoscaling}}).encode()


def _autoscaling(given: pb.Autoscaling) -> dict[str, Any]:
    path = "deployment_config.config.autoscaling"
    least = given.min_replicas
    most = given.max_replicas if given.HasField("max_replicas") else max(least, 2)
    wrong = {}
    if not 1 <= least <= MAX_REPLICAS:
        wrong[f"{path}.min_replicas"] = f"must be from 1 to {MAX_REPLICAS}"
    elif not least <= most <= MAX_REPLICAS:
        wrong[f"{path}.max_replicas"] = f"must be from min_replicas ({least}) to {MAX_REPLICAS}"
    for index, metric in enumerate(given.metrics):
        wrong |= _metric_problems(metric, f"{path}.metrics[{index}]")
    if wrong:
        raise InvalidFields(wrong)
    metrics = [_metric_json(metric) for metric in given.metrics] or [CPU_AT_80]
    return {"min_replicas": least, "max_replicas": most, "metrics": metrics}


def _metric_problems(metric: pb.Metric, path: str) -> dict[str, str]:
    target = metric.resource.target
    rules = {
        f"{path}.type": (metric.type == "resource", "must be resource"),
        f"{path}.resource.name": (metric.resource.name in ("cpu", "memory"), "must be cpu or memory"),
        f"{path}.resource.target.type": (target.type == "utilization", "must be utilization"),
        f"{path}.resource.target.average_utilization": (
            1 <= target.average_utilization <= 100,
            "must be from 1 to 100",
        ),
    }
    return {field: sentence for field, (holds, sentence) in rules.items() if not holds}


def _metric_json(metric: pb.Metric) -> dict[str, Any]:
    target = {"type": metric.resource.target.type, "average_utilization": metric.resource.target.average_utilization}
    return {"type": metric.type, "resource": {"name": metric.resource.name, "target": target}}


def config_message(kept: bytes) -> pb.DeploymentConfig:
    """The contract's message for a stored configuration."""
    given = json.loads(kept)
    if given["deployment_type"] == "serverless":
        return pb.DeploymentConfig(deployment_type=pb.DEPLOYMENT_TYPE_SERVERLESS, config=pb.ScalingConfig())
    autoscaling = given["config"]["autoscaling"]
    return pb.DeploymentConfig(
        deployment_type=pb.DEPLOYMENT_TYPE_SERVER_BASED,
        config=pb.ScalingConfig(
            autoscaling=pb.Autoscaling(
                min_replicas=autoscaling["min_replicas"],
                max_replicas=autoscaling["max_replicas"],
                metrics=[_metric_message(metric) for metric in autoscaling["metrics"]],
            )
        ),
    )


def _metric_message(metric: dict[str, Any]) -> pb.Metric:
    resource = metric["resource"]
    return pb.Metric(
        type=metric["type"],
        resource=pb.ResourceMetric(name=resource["name"], target=pb.MetricTarget(**resource["target"])),
    )
