"""Loads config.yaml files with the SDK, and runs those it is told to: run with the SDK's Python, JSON in and out."""

import json
import logging
import os
import sys
import tempfile
from pathlib import Path

os.environ["DYNAMIQ_TELEMETRY"] = "false"
logging.disable(logging.CRITICAL)

from dynamiq import Workflow  # noqa: E402


def load(text: str, workflow: str | None, env: dict[str, str], input_data: dict | None) -> dict:
    os.environ.update(env)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_text(text)
        try:
            loaded = Workflow.from_yaml_file(str(path), wf_id=workflow)
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}
        finally:
            for name in env:
                os.environ.pop(name, None)
    result = {"nodes": {node.id: described(node) for node in loaded.flow.nodes}, "version": loaded.version}
    if input_data is not None:
        ran = loaded.run(input_data=input_data)
        result["status"], result["output"] = ran.status.value, ran.output
    return result


def described(node: object) -> object:
    """All that the SDK says of a node, its generated ids aside."""
    return without_ids(node.to_dict(include_secure_params=True))


def without_ids(value: object) -> object:
    if isinstance(value, dict):
        return {key: without_ids(child) for key, child in value.items() if key != "id"}
    return [without_ids(child) for child in value] if isinstance(value, list) else value


if __name__ == "__main__":
    answers = [load(**request) for request in json.load(sys.stdin)]
    sys.stdout.write(json.dumps(answers, default=str))
