"""Invalid deployment configurations."""

from typing import Any

from tests.support.bad_input.table import Rest, Rpc, wrong

NEW_APP = {"project_id": "<project>", "workflow_id": "<workflow>", "name": "app"}
SCALING = "deployment_config.config.autoscaling"


def metric(**other: Any) -> dict[str, Any]:
    target = {"type": "utilization", "average_utilization": 80, **other.pop("target", {})}
    return {"type": "resource", **other, "resource": {"name": "cpu", **other.get("resource", {}), "target": target}}


def server_based(**autoscaling: Any) -> dict[str, Any]:
    return {"deployment_type": "server_based", "config": {"autoscaling": autoscaling}}


BAD = [
    wrong(f"{rule} as a configuration", Rest(method, path, {**body, "deployment_config": config}), *fields)
    for method, path, body in (
        ("POST", "/v1/apps", NEW_APP),
        ("POST", "/v1/apps/<app>/deploy", {"workflow_id": "<workflow>"}),
    )
    for rule, config, fields in (
        ("text", "serverless", ("deployment_config",)),
        ("nothing", {}, ("deployment_config.deployment_type",)),
        ("null", {"deployment_type": None}, ("deployment_config.deployment_type",)),
        ("no such type", {"deployment_type": "kubernetes"}, ("deployment_config.deployment_type",)),
        (
            "serverless with autoscaling",
            {"deployment_type": "serverless", "config": {"autoscaling": {"min_replicas": 1}}},
            (SCALING,),
        ),
        ("server_based without config", {"deployment_type": "server_based"}, (SCALING,)),
        ("server_based with an empty config", {"deployment_type": "server_based", "config": {}}, (SCALING,)),
        ("server_based with a null", server_based() | {"config": {"autoscaling": None}}, (SCALING,)),
        ("server_based with a list", server_based() | {"config": {"autoscaling": []}}, (SCALING,)),
        ("no bounds", server_based(), (f"{SCALING}.min_replicas",)),
        *(
            (f"at least {least}", server_based(min_replicas=least), (f"{SCALING}.min_replicas",))
            for least in (0, -1, 101, 2**31 - 1)
        ),
        *(
            (f"at least {least}", server_based(min_replicas=least), (f"{SCALING}.min_replicas",))
            for least in ("1", 1.5, 2**31, True)
        ),
        ("most below least", server_based(min_replicas=3, max_replicas=2), (f"{SCALING}.max_replicas",)),
        ("most 0", server_based(min_replicas=1, max_replicas=0), (f"{SCALING}.max_replicas",)),
        ("most 101", server_based(min_replicas=1, max_replicas=101), (f"{SCALING}.max_replicas",)),
        ("metrics that are no list", server_based(min_replicas=1, metrics={}), (f"{SCALING}.metrics",)),
        ("a metric that is null", server_based(min_replicas=1, metrics=[None]), (f"{SCALING}.metrics[0]",)),
        (
            "a metric that is empty",
            server_based(min_replicas=1, metrics=[{}]),
            (f"{SCALING}.metrics[0].type", f"{SCALING}.metrics[0].resource"),
        ),
        (
            "a metric of another type",
            server_based(min_replicas=1, metrics=[metric(), metric(type="pods")]),
            (f"{SCALING}.metrics[1].type",),
        ),
        (
            "a metric of another resource",
            server_based(min_replicas=1, metrics=[metric(resource={"name": "disk"})]),
            (f"{SCALING}.metrics[0].resource.name",),
        ),
        *(
            (
                f"a target of {percent}",
                server_based(min_replicas=1, metrics=[metric(target={"average_utilization": percent})]),
                (f"{SCALING}.metrics[0].resource.target.average_utilization",),
            )
            for percent in (0, 101, -5, "80", 80.5)
        ),
        (
            "several wrongs",
            server_based(min_replicas=0, metrics=[metric(type="x", target={"type": "y"})]),
            (f"{SCALING}.min_replicas", f"{SCALING}.metrics[0].type", f"{SCALING}.metrics[0].resource.target.type"),
        ),
    )
] + [
    wrong(
        "no type of configuration",
        Rpc("CreateApp", {**NEW_APP, "deployment_config": {}}),
        "deployment_config.deployment_type",
    ),
    wrong(
        "an unknown type of configuration",
        Rpc("CreateApp", {**NEW_APP, "deployment_config": {"deployment_type": 9}}),
        "deployment_config.deployment_type",
    ),
    wrong(
        "most below least",
        Rpc(
            "DeployApp",
            {
                "app_id": "<app>",
                "workflow_id": "<workflow>",
                "deployment_config": {
                    "deployment_type": 2,
                    "config": {"autoscaling": {"min_replicas": 5, "max_replicas": 4}},
                },
            },
        ),
        f"{SCALING}.max_replicas",
    ),
]
