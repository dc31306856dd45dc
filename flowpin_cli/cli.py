"""The command `flowpin`."""

import io
import sys
from typing import Annotated

import typer

from flowpin_cli.commands.lazy import lazy_group
from flowpin_cli.commands.options import MARKUP

COMMANDS = (
    "up",
    "demo",
    "workflow",
    "app",
    "apply",
    "doctor",
    "verify",
    "sign-in",
    "login",
    "logout",
    "settings",
    "backup",
    "restore",
    "seed",
    "protos",
    "project",
    "environment",
    "user",
    "token",
    "runtime",
)
"""The commands in the order of the help. Each is a module of flowpin_cli.commands whose `app` is the command or
group."""

app = typer.Typer(
    name="flowpin",
    cls=lazy_group({name: name.replace("-", "_") for name in COMMANDS}),
    no_args_is_help=True,
    rich_markup_mode=MARKUP,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from service_kit.release import VERSION

        print(f"flowpin {VERSION}")  # noqa: T201
        raise typer.Exit


@app.callback()
def flowpin(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Immutable workflow versions and pinned deployments, on your own machine.

    `flowpin up` starts everything. In another terminal, `flowpin demo` shows the main job. `flowpin workflow` and
    `flowpin app` are the commands for it.
    """


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show "✓" must not stop a command
    app()
