"""`flowpin runtime …`."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flowpin_cli.commands.options import DEFAULT_DATA, MARKUP, Data, DatabaseUrl, problems_told

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=MARKUP,
    help="Manage the runtimes of apps: Python environments, each with one release of the Dynamiq SDK.\n\n"
    "They are in DIR/runtimes, or in the folder FLOWPIN_RUNTIMES, which several installations may share.",
)


@app.command("install")
def runtime_install(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The release of the SDK.")] = "0.69",
    lock: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Install exactly the packages of this requirements.lock."),
    ] = None,
    registered: Annotated[
        str | None,
        typer.Option(
            metavar="DIGEST",
            help="Install a lock that is registered: latest, or sha256:… as a deployment pins it.",
        ),
    ] = None,
    python: Annotated[
        str | None,
        typer.Option(metavar="PYTHON", help="The Python to use: a path, or a version such as 3.12. Default: this one."),
    ] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Download a release of the Dynamiq SDK with all its dependencies: some 1.6 GB, about a minute.

    The file VERSION/requirements.lock lists every package with its version. Two machines run the same if the digests of
    these files are equal. An interrupted installation leaves nothing behind. An installed release is not changed.

    If `flowpin up` runs on DIR, the lock is registered there, and deployments pin it. Another installation is named by
    FLOWPIN_URL and an operator's FLOWPIN_TOKEN. Otherwise the next `flowpin up` registers the lock.

    - `flowpin runtime install` installs 0.69
    - `flowpin runtime install 0.69 --registered latest` installs the lock that is registered
    - `flowpin runtime install 0.69 --lock requirements.lock` installs the lock of another machine
    """
    from flowpin_cli.runtimes.commands import install

    with problems_told():
        install(data, os.environ, version, lock, registered, python, Console())


@app.command("register")
def runtime_register(data: Data = DEFAULT_DATA) -> None:
    """Register the locks of the installed runtimes, as `runtime install` and `flowpin up` do.

    It registers them with the `flowpin up` on DIR, or with FLOWPIN_URL and an operator's FLOWPIN_TOKEN.

    Example: `flowpin runtime register`
    """
    from flowpin_cli.runtimes.commands import register

    with problems_told():
        register(data, os.environ, Console())


@app.command("list")
def runtime_list(
    data: Data = DEFAULT_DATA,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the installed runtimes, newest first.

    Example: `flowpin runtime list --json`
    """
    from flowpin_cli.runtimes.commands import show

    with problems_told():
        show(data, os.environ, Console(), as_json=as_json)


@app.command("remove")
def runtime_remove(
    version: Annotated[str, typer.Argument(metavar="VERSION")],
    data: Data = DEFAULT_DATA,
    database_url: DatabaseUrl = None,
) -> None:
    """Delete a runtime. Refused while a live deployment pins it, or if that is not known.

    Example: `flowpin runtime remove 0.69`
    """
    from flowpin_cli.runtimes.commands import remove

    with problems_told():
        remove(data, os.environ, version, database_url, Console())
