"""`flowpin up`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flowpin_cli.commands.options import DEFAULT_DATA, MARKUP, Data, DatabaseUrl, problems_told

PREFIXES = ("WORKFLOW_", "DEPLOY_", "RUN_", "GATEWAY_", "CONSOLE_")
"""Prefixes of the variables of the processes' settings."""

app = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)


@app.command()
def up(
    data: Data = DEFAULT_DATA,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the gateway; 0 picks a free one.")] = 8080,
    apps_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of apps. Default: 8081, or a free port with --port 0."),
    ] = None,
    console_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of the console. Default: 8082, or a free port with --port 0."),
    ] = None,
    no_console: Annotated[bool, typer.Option("--no-console", help="Do not start the console.")] = False,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Where gateway, apps and console listen: an IPv4 address of this machine, or 0.0.0.0 for all. "
            "For other machines, use --tls or a proxy in front.",
        ),
    ] = "127.0.0.1",
    tls: Annotated[
        bool,
        typer.Option(
            "--tls",
            help="Use TLS for all listeners and channels, with a certificate of an authority created in DIR/tls. "
            "The commands trust it; browsers and other clients need DIR/tls/ca.pem.",
        ),
    ] = False,
    database_url: DatabaseUrl = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Number of processes of each service, and of gateways. Default: one of each on up to two cores, "
            "otherwise a workflow service and a gateway for every two.",
        ),
    ] = None,
) -> None:
    """Start Postgres, the services and the gateway, and keep them running until Ctrl-C.

    Prints the URL, a token, the project's id and a curl to paste, and writes them to DIR/env for `source`.
    Logs are in DIR/logs, at most five files of 16 MiB for each process.
    A second `up` on the same DIR finds its data and its token again.
    Any `WORKFLOW_*`, `DEPLOY_*`, `RUN_*`, `GATEWAY_*` or `CONSOLE_*` variable is passed on:
    `DEPLOY_ROLLOUT_DRIVER=scripted flowpin up`. One that has no effect, or is misspelt, is named. With one that is
    wrong nothing starts.

    Once a runtime is installed (`flowpin runtime install`), apps run: http://127.0.0.1:8081/apps/<app id> answers with
    the version that the app has deployed. Without one, an app is a record of what is deployed.

    With several workers, calls to a service go to all of its processes in turn. The gateways share one port, and the
    kernel gives each a part of the connections: limits and fair shares (`GATEWAY_MAX_REQUESTS`, `GATEWAY_RATE_LIMIT`)
    are then per process. A worker's metrics are ten ports above those of the one before.
    """
    from flowpin_cli.up.start import Options
    from flowpin_cli.up.start import up as run

    with problems_told():
        check_settings(data)
        options = Options(data, port, database_url, workers, apps_port, host, console_port, not no_console, tls)
        run(options, os.environ, Console())


def check_settings(data: Path) -> None:
    """Print the settings in the environment that have no effect. Raises CannotRun if one is invalid."""
    if not any(name.upper().startswith(PREFIXES) for name in os.environ):
        return  # importing all settings takes half a second
    from flowpin_cli.commands.settings import classes
    from flowpin_cli.settings import without_effect

    for warning in without_effect(data, classes(), os.environ):
        print(f"flowpin: {warning}", file=sys.stderr)  # noqa: T201
