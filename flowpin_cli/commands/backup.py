"""`flowpin backup`."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flowpin_cli.commands.options import (
    DEFAULT_DATA,
    MARKUP,
    AccessFileOption,
    Data,
    DatabaseUrl,
    access_file_of,
    all_schemas,
    problems_told,
)

app = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write. It must not exist yet.")],
    data: Data = DEFAULT_DATA,
    database_url: DatabaseUrl = None,
    access_file: AccessFileOption = None,
) -> None:
    """Write everything to one file: all schemas as of one moment, and the access file.

    Works whether `flowpin up` runs or not. Only the file's owner can read it: it has every workflow. Tokens are in it
    only as hashes.

    - `flowpin backup /backups/flowpin-$(date +%F)`
    - `flowpin backup FILE --database-url postgresql://postgres@db.example.org/flowpin --access-file access.yaml`
    """
    from flowpin_cli.backup.backup import Options
    from flowpin_cli.backup.backup import backup as run

    with problems_told():
        options = Options(file, data, database_url, access_file_of(data, access_file))
        run(options, all_schemas(), os.environ, Console())
