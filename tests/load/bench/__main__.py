"""The command line of the bench."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tests.load.bench import tools
from tests.load.bench.report.table import print_table
from tests.load.bench.result import Unmeasurable
from tests.load.bench.rows import AFTER_RESTART, GROUPS
from tests.load.bench.run import PEERS, Plan, run

RESULTS = Path(__file__).parents[1] / "results"
KNOWN = (*GROUPS, *AFTER_RESTART, *PEERS)
NAMES = ", ".join(KNOWN)


app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command()
def bench(
    quick: Annotated[
        bool, typer.Option("--quick", help="Under two minutes: shorter and fewer drives, no million versions.")
    ] = False,
    rows: Annotated[
        str, typer.Option(metavar="NAME,…", help=f"Only these; they take the place of the same ones in DIR: {NAMES}.")
    ] = "",
    peers: Annotated[
        bool, typer.Option("--peers", help="Also what one would pick instead: MLflow, Prefect; and Envoy.")
    ] = False,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where bench.json, bench.md and bench.svg go.")] = RESULTS,
) -> None:
    """Measure Flowpin on this machine, each figure next to its ceiling of the same run.

    Starts `flowpin up` in its own folder, fills it, drives it with h2load (gRPC), wrk (REST) and pgbench (the floor),
    and ends it. Prints one table, and writes it as JSON, Markdown and a picture. Nothing else should be running.

    Needs h2load and wrk: apt install nghttp2-client wrk. A whole run takes about half an hour and 12 GB of disk.

    Exits with 0 when everything was measured, even with missed targets, and with 1 otherwise.

    Examples: `python -m tests.load.bench --quick`, `python -m tests.load.bench --rows grpc-read,rest-read --quick`
    """
    signal.signal(signal.SIGTERM, _stop)  # so that the started processes are ended
    progress, answer = Console(stderr=True), Console(width=None if sys.stdout.isatty() else 150)
    if advice := tools.missing():
        for line in advice:
            progress.print(f"[red]{line}[/]")
        raise typer.Exit(1)
    wanted = [name.strip() for name in rows.split(",") if name.strip()]
    if unknown := set(wanted) - set(KNOWN):
        raise typer.BadParameter(f"no rows {', '.join(sorted(unknown))}; there are {NAMES}", param_hint="--rows")
    try:
        found = run(Plan(quick, wanted, peers, out), progress)
    except Unmeasurable as problem:
        progress.print(f"[red]{problem}[/]")
        raise typer.Exit(1) from None
    print_table(found.rows, answer)
    answer.print(found.summary, highlight=False)
    raise typer.Exit(1 if found.unmeasured else 0)


def _stop(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    app(prog_name="python -m tests.load.bench")
