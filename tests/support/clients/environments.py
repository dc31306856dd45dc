"""Virtual environments for the light client."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT

UV = Path(sys.executable).parent / "uv"


def light_source(folder: Path) -> Path:
    """A copy of the light client's source and the contracts below `folder`. Its stubs are made there."""
    shutil.copytree(ROOT / "protos", folder / "protos")
    ignored = shutil.ignore_patterns("pb", "protos", "build", "*.egg-info")
    copied = shutil.copytree(ROOT / "clients" / "python", folder / "clients" / "python", ignore=ignored)
    return Path(copied)


def light_client(folder: Path) -> Path:
    """A folder from which the client can be imported, with stubs made by this environment's grpcio-tools."""
    source = light_source(folder)
    run(sys.executable, source / "setup.py", "--quiet", "--version")
    return source / "src"


def run(*words: str | Path) -> None:
    ran = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""}, timeout=300)
    assert ran.returncode == 0, ran.stderr


def environment(folder: Path, *packages: str) -> Path:
    """Create an environment at `folder` with these packages. Returns its Python."""
    run(UV, "venv", "--quiet", "--python", sys.executable, folder)
    run(UV, "pip", "install", "--quiet", "--python", folder / "bin" / "python", *packages)
    return folder / "bin" / "python"
