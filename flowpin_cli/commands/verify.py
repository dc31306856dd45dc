"""`flowpin verify`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flowpin_cli.commands.options import DEFAULT_DATA, MARKUP, DatabaseUrl, problems_told

app = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)

LOAD = "Under load"


@app.command()
def verify(
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="The data folder. Default: .flowpin.")
    ] = None,
    database_url: DatabaseUrl = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A backup: show what restoring it would lose, instead of the checks."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every check with its figures and findings as JSON.")
    ] = False,
    load: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Call the installation for this long instead: 20s, 5m, 1h.", rich_help_panel=LOAD
        ),
    ] = None,
    savers: Annotated[int, typer.Option(min=1, help="Callers that save and read workflows.", rich_help_panel=LOAD)] = 8,
    deployers: Annotated[
        int, typer.Option(min=1, help="Callers that deploy, roll back and read apps.", rich_help_panel=LOAD)
    ] = 4,
    fault: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Faults to cause on an installation of its own in a temporary folder: kill, freeze, half-open, lock, "
            "clock, reset, full-disk, restart, stuck, read-only, access-file, crowd, kill-apps, separated by commas, "
            "or all.",
            rich_help_panel=LOAD,
        ),
    ] = "",
    workers: Annotated[
        int, typer.Option(min=1, help="With --fault: processes of each service.", rich_help_panel=LOAD)
    ] = 1,
    seed: Annotated[
        int | None,
        typer.Option(help="Random seed of callers and faults. Each run prints its own.", rich_help_panel=LOAD),
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write the calls, as JSON lines.", rich_help_panel=LOAD),
    ] = None,
) -> None:
    """Check that the history is complete and correct. Reads everything, changes nothing, and names what is wrong.

    It checks numbers, digests, spans of what was live, pins, audit events, kept answers, rights and database settings.
    docs/verify.md says what each check promises and what it cannot show.

    It reads the Postgres of DIR, and starts it if `flowpin up` does not run, or that of `--database-url`. Without
    either it reads `WORKFLOW_DATABASE_URL` and `DEPLOY_DATABASE_URL` if they are set. Services continue meanwhile.
    It exits with 0 if nothing is wrong, 1 if something is, and 2 if it could not check.

    - `flowpin verify` checks the installation in ./.flowpin
    - `flowpin verify --json | jq '.checks[] | select(.found > 0)'` shows the checks with findings
    - `flowpin verify --database-url postgresql://postgres@db.example.org/flowpin` checks your own server
    - `flowpin verify --against /backups/flowpin-2026-11-21` shows what a restore of that backup would lose

    With `--load` it calls an installation concurrently and checks that every answer was true. It uses the project of
    FLOWPIN_URL, FLOWPIN_TOKEN and FLOWPIN_PROJECT_ID if they are set, or that of ./.flowpin/env. `--data` overrides
    both. It creates workflows and apps there and does not remove them.

    - `flowpin verify --load 5m` calls the installation in ./.flowpin
    - `flowpin verify --load 5m --fault kill,reset,lock` starts an installation of its own and causes faults in it
    """
    from flowpin_cli.verify.command import Options, run

    if load is not None:
        from flowpin_cli.verify.load.command import verify_under_load

        if against is not None or database_url is not None:
            raise typer.BadParameter("cannot be used with --against or --database-url", param_hint="--load")
        with problems_told(exit_code=2):
            sys.exit(
                verify_under_load(
                    load,
                    data=data,
                    savers=savers,
                    deployers=deployers,
                    fault=fault,
                    workers=workers,
                    seed=seed,
                    history=history,
                    as_json=as_json,
                )
            )
    sys.exit(run(Options(data, DEFAULT_DATA, database_url, against, as_json), os.environ, Console()))
