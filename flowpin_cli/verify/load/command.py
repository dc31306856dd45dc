"""`flowpin verify --load`: runs the load and returns an exit code. `flowpin verify` calls `verify_under_load`."""

import os
import secrets
from pathlib import Path

from rich.console import Console

from flowpin_cli.errors import CannotRun

NOT_CHECKED = 2


def verify_under_load(
    load: str,
    *,
    data: Path | None,
    savers: int = 8,
    deployers: int = 4,
    fault: str = "",
    workers: int = 1,
    seed: int | None = None,
    history: Path | None = None,
    as_json: bool = False,
) -> int:
    """Run the load and print its report. Returns 0, 1 if a promise was broken, or 2 if the run failed. Raises
    CannotRun."""
    # gRPC reads this when it is imported. Its fork handlers would crash the children of a run with faults.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    from flowpin_cli.verify.load.options import LoadOptions, faults_of, seconds_of
    from flowpin_cli.verify.load.run import run_load

    if min(savers, deployers, workers) < 1:
        raise CannotRun("--savers, --deployers and --workers must be at least 1")
    if workers > 1 and not fault:
        raise CannotRun("--workers is for an installation that --fault starts")
    options = LoadOptions(
        seconds=seconds_of(load),
        seed=secrets.randbelow(1 << 31) if seed is None else seed,
        savers=savers,
        deployers=deployers,
        faults=faults_of(fault),
        workers=workers,
        data=data,
        history=history,
        as_json=as_json,
        environ=os.environ,
    )
    try:
        return run_load(options)
    except CannotRun:
        raise
    except Exception:  # a bug in this code must not look like a finding
        Console(stderr=True).print_exception()
    return NOT_CHECKED
