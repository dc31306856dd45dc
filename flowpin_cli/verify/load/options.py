"""What a load is asked to do, and where the installation is that it calls."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import DataFolder

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
)
EVERY_FAULT = "all"
DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)")
UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class LoadOptions:
    """One run of the load. With `faults` it starts an installation of its own and never calls another."""

    seconds: float
    seed: int
    savers: int = 8
    deployers: int = 4
    faults: tuple[str, ...] = ()
    workers: int = 1
    """Of each service, in the installation that a run with faults starts."""
    data: Path = Path(".flowpin")
    """Whose env file says where to call, for what the environment does not say."""
    history: Path | None = None
    as_json: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)
    postgres_settings: Mapping[str, str] = field(default_factory=dict)
    """Of the Postgres that a run with faults starts: tests break durability with it."""


@dataclass(frozen=True)
class Target:
    """An installation to call. Without the gRPC addresses all calls go over REST."""

    url: str
    token: str
    project_id: str
    workflow_grpc: str = ""
    deploy_grpc: str = ""


def seconds_of(text: str) -> float:
    """20s, 5m or 1h in seconds. Raises CannotRun."""
    found = DURATION.fullmatch(text)
    if found is None or float(found[1]) == 0:
        raise CannotRun(f"--load takes a time such as 20s, 5m or 1h, not {text}")
    return float(found[1]) * UNIT_SECONDS[found[2]]


def faults_of(text: str) -> tuple[str, ...]:
    """The names in a comma-separated list; `all` is every one. Raises CannotRun for an unknown one."""
    if text == EVERY_FAULT:
        return FAULTS
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in FAULTS:
            raise CannotRun(f"--fault knows {', '.join(FAULTS)} and {EVERY_FAULT}, not {name}")
    return names


def target_of(data: Path, environ: Mapping[str, str]) -> Target:
    """From FLOWPIN_URL, FLOWPIN_TOKEN and FLOWPIN_PROJECT_ID, or from the data folder's env file. Raises CannotRun."""
    given = {name: value for name, value in environ.items() if name.startswith("FLOWPIN_") and value}
    variables = given if "FLOWPIN_URL" in given else {**DataFolder(data).env(), **given}
    try:
        return Target(
            variables["FLOWPIN_URL"].rstrip("/"),
            variables["FLOWPIN_TOKEN"],
            variables["FLOWPIN_PROJECT_ID"],
            variables.get("FLOWPIN_WORKFLOW_GRPC", ""),
            variables.get("FLOWPIN_DEPLOY_GRPC", ""),
        )
    except KeyError as missing:
        raise CannotRun(
            f"{missing.args[0]} is not set, and {data}/env does not say it; run `flowpin up` first"
        ) from None
