"""Prints the SDK loader's value of each YAML text in a list, empty if it refuses. Run it with the SDK's Python."""

import json
import sys
import tempfile
from pathlib import Path

from dynamiq.serializers.loaders.yaml import WorkflowYAMLLoader


def read(text: str, path: Path) -> list:
    path.write_text(text, encoding="utf-8", newline="")
    try:
        return [WorkflowYAMLLoader.loads(path)]
    except Exception:  # OmegaConf, PyYAML and Python each have their own error class
        return []


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        found = [read(text, Path(folder, "config.yaml")) for text in json.load(sys.stdin)]
    sys.stdout.write(json.dumps(found, default=str))
