"""A copy of the product without a guard, to show that a check finds the fault."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

PACKAGES = ("service_kit", "workflow_service", "deploy_service", "run_service", "gateway", "flowpin_cli")


@dataclass(frozen=True)
class Patch:
    """A file of the product, a text that occurs once in it, and the replacement."""

    file: str
    text: str
    by: str


def patched_product(folder: Path, *patches: Patch) -> dict[str, str]:
    """Make the copy in the folder. Returns the environment in which Python imports it."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for patch in patches:
        path = folder / patch.file
        source = path.read_text()
        assert source.count(patch.text) == 1, f"{patch.file} no longer holds, once: {patch.text}"
        path.write_text(source.replace(patch.text, patch.by))
    return {**os.environ, "PYTHONPATH": str(folder)}
