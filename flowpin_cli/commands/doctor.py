"""`flowpin doctor`."""

import sys
from typing import Annotated

import typer
from rich.console import Console

from flowpin_cli.commands.options import (
    DEFAULT_DATA,
    MARKUP,
    AccessFileOption,
    Data,
    DatabaseUrl,
    problems_told,
    schemas,
)

app = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)


@app.command()
def doctor(
    data: Data = DEFAULT_DATA,
    database_url: DatabaseUrl = None,
    access_file: AccessFileOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of findings as JSON.")] = False,
) -> None:
    """Find problems and say what to do about them. Changes nothing and starts nothing.

    It checks versions, the data folder and its disk, the access file, ports, processes and runtimes. In the database it
    checks migrations, roles and the clock. It works whether `flowpin up` runs or not. It exits with 1 if there is a
    problem (✗), but not for warnings (!) and for what it could not check (-).

    - `flowpin doctor`
    - `flowpin doctor --json`
    - `flowpin doctor --database-url postgresql://postgres@db.example.org/flowpin`
    """
    from flowpin_cli.doctor import examine, has_problems, print_findings, print_json

    with problems_told():
        sections = examine(data, database_url, access_file or data / "access.yaml", schemas())
        (print_json if as_json else print_findings)(sections, Console())
    sys.exit(1 if has_problems(sections) else 0)
