"""The worker runs in a runtime's Python, which has the SDK and nothing of Flowpin."""

import ast
import sys
from pathlib import Path

from tests.support.paths import ROOT

WORKER = ROOT / "run_service" / "worker"
SDK = {"dynamiq", "omegaconf"}
"""The SDK, and the library that its loader reads documents with."""


def test_the_worker_imports_only_the_standard_library_and_the_sdk():
    assert {name for path in WORKER.glob("*.py") for name in imported(path)} - sys.stdlib_module_names == SDK


def test_only_one_module_of_the_worker_imports_the_sdk():
    assert [path.name for path in WORKER.glob("*.py") if SDK & set(imported(path))] == ["sdk.py"]


def imported(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.append(node.module or "")
    return [name.partition(".")[0] for name in names]
