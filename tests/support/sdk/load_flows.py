"""Reads flows, one JSON line each, and prints the error of the SDK's loader, or null. Run it with the SDK's Python.

The flow is converted for the loader here without our export, so both can be compared.
"""

import json
import logging
import os
import sys
import warnings

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

from dynamiq.flows import Flow  # noqa: E402
from dynamiq.serializers.loaders.yaml import WorkflowYAMLLoader  # noqa: E402

# The last step of loading a flow, in which vector stores ask their servers for an index.
Flow._init_components = lambda flow: None


def refusal(flow: dict) -> str | None:
    sections = {key: flow.get(key, {}) for key in ("connections", "prompts")}
    config = {**sections, "nodes": {}, "flows": {}}
    try:
        config["workflows"] = {"w": {"flow": written(flow, config)}}
        WorkflowYAMLLoader.parse(config)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def written(flow: dict, config: dict) -> str:
    """Put a flow into the sections. Returns its id."""
    name = flow.get("id", "flow")
    for node in flow["nodes"]:
        config["nodes"][node["id"]] = {key: value(child, config) for key, child in node.items() if key != "id"}
    own = {key: child for key, child in flow.items() if key not in ("id", "nodes", "connections", "prompts")}
    config["flows"][name] = {**own, "nodes": [node["id"] for node in flow["nodes"]]}
    return name


def value(found: object, config: dict) -> object:
    if isinstance(found, list):
        return [value(child, config) for child in found]
    if not isinstance(found, dict):
        return found
    if "$env" in found:
        return found.get("default", "1")
    made = {key: value(child, config) for key, child in found.items() if key != "$id"}
    if isinstance(made.get("flow"), dict) and "nodes" in made["flow"]:
        made["flow"] = written(made["flow"], config)
    return made


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(refusal(json.loads(line))), file=ANSWERS, flush=True)
