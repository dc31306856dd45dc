"""`flowpin restore`."""

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
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file written by `flowpin backup`.")],
    data: Data = DEFAULT_DATA,
    database_url: DatabaseUrl = None,
    access_file: AccessFileOption = None,
) -> None:
    """Restore a backup into an empty installation: a DIR without data, or a database without the schemas.

    It changes nothing if there is data already. It verifies the checksums first. It takes only rows from the backup,
    into tables that Flowpin creates, and refuses a backup with other objects. Then it migrates the schemas to this
    version. Tokens keep working, and the next `flowpin up` makes a new one for you.

    - `flowpin restore /backups/flowpin-2026-11-21 --data ./.flowpin`
    - `flowpin restore FILE --database-url postgresql://postgres@db.example.org/flowpin --access-file access.yaml`
    """
    from flowpin_cli.backup.backup import Options
    from flowpin_cli.backup.restore import restore as run

    with problems_told():
        options = Options(file, data, database_url, access_file_of(data, access_file))
        run(options, all_schemas(), Console())
