"""Deployment configurations: their defaults, what is refused, and that they are stored completely."""

import json

import pytest
from google.protobuf.json_format import ParseDict

from deploy_service.deployment_config import config_json, config_message
from service_kit.errors import InvalidFields
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb

AUTOSCALING = "deployment_config.config.autoscaling"


def given(deployment_type: str, config: dict | None = None) -> pb.DeploymentConfig:
    message = {"deployment_type": f"DEPLOYMENT_TYPE_{deployment_type.upper()}"}
    return ParseDict(message if config is None else {**message, "config": config}, pb.DeploymentConfig())


def autoscaling(**fields: object) -> pb.DeploymentConfig:
    return given("server_based", {"autoscaling": {"min_replicas": 1, **fields}})


def metric(name: str = "cpu", utilization: int = 80, type: str = "resource", target: str = "utilization") -> dict:  # noqa: A002
    return {"type": type, "resource": {"name": name, "target": {"type": target, "average_utilization": utilization}}}


@pytest.mark.parametrize("config", [None, {}])
def test_an_empty_serverless_config_gets_all_defaults(config):
    kept = json.loads(config_json(given("serverless", config)))

    assert kept == {"deployment_type": "serverless", "config": {}}


@pytest.mark.parametrize(
    ("bounds", "completed"),
    [
        ({"min_replicas": 1}, (1, 2)),
        ({"min_replicas": 2}, (2, 2)),
        ({"min_replicas": 3}, (3, 3)),
        ({"min_replicas": 100}, (100, 100)),
        ({"min_replicas": 1, "max_replicas": 1}, (1, 1)),
        ({"min_replicas": 4, "max_replicas": 100}, (4, 100)),
    ],
)
def test_max_replicas_is_the_larger_of_min_and_two_by_default(bounds, completed):
    kept = json.loads(config_json(autoscaling(**bounds)))["config"]["autoscaling"]

    assert (kept["min_replicas"], kept["max_replicas"]) == completed


def test_the_default_metric_is_cpu_at_80_percent():
    kept = json.loads(config_json(autoscaling()))

    assert kept["config"]["autoscaling"]["metrics"] == [metric("cpu", 80)]


def test_given_metrics_are_unchanged():
    metrics = [metric("memory", 1), metric("cpu", 100)]

    kept = json.loads(config_json(autoscaling(metrics=metrics)))

    assert kept["config"]["autoscaling"]["metrics"] == metrics


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (pb.DeploymentConfig(), {"deployment_config.deployment_type"}),
        (given("serverless", {"autoscaling": {"min_replicas": 1}}), {AUTOSCALING}),
        (given("server_based"), {AUTOSCALING}),
        (given("server_based", {}), {AUTOSCALING}),
        (given("server_based", {"autoscaling": {}}), {f"{AUTOSCALING}.min_replicas"}),
        (autoscaling(min_replicas=0), {f"{AUTOSCALING}.min_replicas"}),
        (autoscaling(min_replicas=-1), {f"{AUTOSCALING}.min_replicas"}),
        (autoscaling(min_replicas=101), {f"{AUTOSCALING}.min_replicas"}),
        (autoscaling(min_replicas=3, max_replicas=2), {f"{AUTOSCALING}.max_replicas"}),
        (autoscaling(max_replicas=0), {f"{AUTOSCALING}.max_replicas"}),
        (autoscaling(max_replicas=101), {f"{AUTOSCALING}.max_replicas"}),
        (autoscaling(metrics=[metric(type="pods")]), {f"{AUTOSCALING}.metrics[0].type"}),
        (autoscaling(metrics=[metric("disk")]), {f"{AUTOSCALING}.metrics[0].resource.name"}),
        (autoscaling(metrics=[metric(target="value")]), {f"{AUTOSCALING}.metrics[0].resource.target.type"}),
        (
            autoscaling(metrics=[metric(), metric(utilization=0)]),
            {f"{AUTOSCALING}.metrics[1].resource.target.average_utilization"},
        ),
        (
            autoscaling(metrics=[metric(utilization=101)]),
            {f"{AUTOSCALING}.metrics[0].resource.target.average_utilization"},
        ),
        (
            autoscaling(min_replicas=0, metrics=[metric("disk")]),
            {f"{AUTOSCALING}.min_replicas", f"{AUTOSCALING}.metrics[0].resource.name"},
        ),
    ],
)
def test_each_wrong_field_of_a_deployment_config_is_named(config, wrong):
    with pytest.raises(InvalidFields) as refused:
        config_json(config)

    assert set(refused.value.fields) == wrong


@pytest.mark.parametrize(
    "config", [given("serverless", {}), autoscaling(min_replicas=2, max_replicas=7, metrics=[metric("memory", 33)])]
)
def test_a_stored_deployment_config_reads_as_it_was_given(config):
    assert config_message(config_json(config)) == config
