"""Loads config.yaml files with the SDK, and runs those with an input. Run it with the SDK's Python."""

import json
import logging
import os
import sys
import tempfile
from pathlib import Path

logging.disable(logging.CRITICAL)

from dynamiq import Workflow  # noqa: E402
from dynamiq.flows import Flow  # noqa: E402
from dynamiq.serializers.loaders.yaml import WorkflowYAMLLoader  # noqa: E402

# The last step of loading a flow, in which vector stores ask their servers for an index.
Flow._init_components = lambda flow: None


def load(text: str, workflow: str | None, env: dict, input_data: dict | None = None, connections: bool = False) -> dict:
    os.environ.update(env)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_text(text)
        try:
            if connections:
                return {"connections": list(WorkflowYAMLLoader.get_connections(WorkflowYAMLLoader.loads(path), {}))}
            loaded = Workflow.from_yaml_file(str(path), wf_id=workflow)
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}
        finally:
            for name in env:
                os.environ.pop(name, None)
    result: dict = {"nodes": {node.id: described(node) for node in loaded.flow.nodes}, "version": loaded.version}
    if input_data is not None:
        ran = loaded.run(input_data=input_data)
        result["status"], result["output"] = ran.status.value, ran.output
    return result


def described(node: object) -> object:
    """All that the SDK says about a node, without generated ids."""
    return without_ids(node.to_dict(include_secure_params=True))


def without_ids(value: object) -> object:
    if isinstance(value, dict):
        return {key: without_ids(child) for key, child in value.items() if key != "id"}
    return [without_ids(child) for child in value] if isinstance(value, list) else value


if __name__ == "__main__":
    answers = [load(**request) for request in json.load(sys.stdin)]
    sys.stdout.write(json.dumps(answers, default=str))
