"""`flowpin demo`."""

import os

import typer
from rich.console import Console

from flowpin_cli.commands.options import MARKUP, problems_told
from flowpin_cli.commands.remote import Data

app = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)


@app.command()
def demo(data: Data = None) -> None:
    """Show the main job on a running `flowpin up`, with each call and its answer.

    It saves three versions of an example workflow, deploys, saves again, and shows that the app did not change. Then it
    deploys the new version, reads the history and rolls back.

    It calls the installation of FLOWPIN_URL and FLOWPIN_TOKEN, or that of ./.flowpin if they are not set. `--data`
    overrides both. It prints which installation it calls.

    - `flowpin demo`
    - `flowpin demo --data /srv/flowpin`
    """
    from flowpin_cli.demo import play

    with problems_told():
        play(data, os.environ, Console())
