"""`flowpin seed`."""

import os
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console

from flowpin_cli.commands.options import (
    MARKUP,
    AccessFileOption,
    ChangedData,
    DatabaseUrl,
    access_file_of,
    problems_told,
    schemas,
)
from flowpin_cli.rest.installation import folder_of

app = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)


@app.command()
def seed(
    workflows: Annotated[int, typer.Option(min=1, help="Number of workflows.")] = 10,
    versions: Annotated[int, typer.Option(min=1, help="Versions per workflow.")] = 100,
    archived_every: Annotated[
        int, typer.Option(min=0, metavar="K", help="Archive every K-th version, except the latest; 0 archives none.")
    ] = 0,
    apps: Annotated[int, typer.Option(min=0, help="Number of apps, each deployed up to three times.")] = 0,
    size: Annotated[
        int | None,
        typer.Option(
            "--bytes",
            min=1000,
            max=1_000_000,
            help="Approximate size of a version's flow and flow_ui together. Default: 2,000 to 30,000.",
        ),
    ] = None,
    project: Annotated[UUID | None, typer.Option(metavar="ID", help="The project. Default: that of DIR/env.")] = None,
    data: ChangedData = None,
    database_url: DatabaseUrl = None,
    access_file: AccessFileOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every id and the duration as JSON.")] = False,
) -> None:
    """Fill a running installation with workflows that have a history, for load tests and to explore.

    The graphs are realistic and differ from version to version as edits do. Digests, counters and audit events are as
    if the versions had been saved through the API, so all of them can be read, compared and deployed.

    Each workflow is written in one transaction, so an interruption leaves none half done. There is no undo: use a data
    folder only for this.

    - `flowpin seed --data /tmp/seeded` while `flowpin up --data /tmp/seeded` runs
    - `flowpin seed --data /tmp/seeded --workflows 1 --versions 100000 --bytes 7000 --archived-every 10`
    """
    from flowpin_cli.seed import Options
    from flowpin_cli.seed import seed as run

    with problems_told():
        folder = folder_of(data, os.environ)
        access = access_file_of(folder, access_file)
        options = Options(
            workflows, versions, archived_every, apps, size, project, folder, database_url, access, as_json
        )
        run(options, schemas(), Console())
