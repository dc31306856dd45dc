"""Options of the load, and the address of the installation that it calls."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flowpin_cli.errors import CannotRun
from flowpin_cli.rest.installation import variables_of
from flowpin_cli.rest.trust import CA_VARIABLE

KILL_APPS = "kill-apps"
FAULTS = (
    "kill",
    "freeze",
    "half-open",
    "lock",
    "clock",
    "reset",
    "full-disk",
    "restart",
    "stuck",
    "read-only",
    "access-file",
    "crowd",
    KILL_APPS,
)
EVERY_FAULT = "all"
DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)")
UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class LoadOptions:
    """Options of a run of the load. With `faults` it starts its own installation and calls no other."""

    seconds: float
    seed: int
    savers: int = 8
    deployers: int = 4
    faults: tuple[str, ...] = ()
    workers: int = 1
    """Processes of each service in the installation that a run with faults starts."""
    data: Path | None = None
    """The data folder with the env file. None means the environment, or ./.flowpin if that is not set."""
    history: Path | None = None
    as_json: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)
    postgres_settings: Mapping[str, str] = field(default_factory=dict)
    """Settings of the Postgres that a run with faults starts. Tests break durability with them."""


@dataclass(frozen=True)
class Target:
    """An installation to call. Without gRPC addresses, all calls go over REST."""

    url: str
    token: str
    project_id: str
    workflow_grpc: str = ""
    deploy_grpc: str = ""
    apps_url: str = ""
    """The URL below which each app answers at its id. Empty if apps do not run."""
    access_key: str = ""
    """The access key for calls of apps."""
    ca: str = ""
    """The file of the authority that signed the certificates. Empty for the authorities of the machine."""


def seconds_of(text: str) -> float:
    """Convert 20s, 5m or 1h to seconds. Raises CannotRun."""
    found = DURATION.fullmatch(text)
    if found is None or float(found[1]) == 0:
        raise CannotRun(f"--load takes a time such as 20s, 5m or 1h, not {text}")
    return float(found[1]) * UNIT_SECONDS[found[2]]


def faults_of(text: str) -> tuple[str, ...]:
    """The names in a comma-separated list. `all` means all names. Raises CannotRun for an unknown one."""
    if text == EVERY_FAULT:
        return FAULTS
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in FAULTS:
            raise CannotRun(f"--fault knows {', '.join(FAULTS)} and {EVERY_FAULT}, not {name}")
    return names


def target_of(data: Path | None, environ: Mapping[str, str]) -> Target:
    """The target from the data folder's env file, or from FLOWPIN_URL, FLOWPIN_TOKEN and FLOWPIN_PROJECT_ID. Raises
    CannotRun."""
    variables = variables_of(data, environ)
    try:
        return Target(
            variables["FLOWPIN_URL"].rstrip("/"),
            variables["FLOWPIN_TOKEN"],
            variables["FLOWPIN_PROJECT_ID"],
            variables.get("FLOWPIN_WORKFLOW_GRPC", ""),
            variables.get("FLOWPIN_DEPLOY_GRPC", ""),
            variables.get("FLOWPIN_APPS_URL", "") if variables.get("FLOWPIN_ACCESS_KEY") else "",
            variables.get("FLOWPIN_ACCESS_KEY", ""),
            variables.get(CA_VARIABLE, ""),
        )
    except KeyError as missing:
        raise CannotRun(f"{missing.args[0]} is not set, beside FLOWPIN_URL; set all three") from None
