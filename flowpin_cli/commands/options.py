"""Options of several commands, and how commands report that they cannot continue."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flowpin_cli.errors import CannotRun
from flowpin_cli.rest.installation import DEFAULT_DATA as DEFAULT_DATA
from flowpin_cli.rest.installation import folder_of

if TYPE_CHECKING:
    from flowpin_cli.postgres.schemas import Schema

MARKUP: Literal["markdown"] = "markdown"
"""Markup mode of the help of all commands."""

Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="The data folder.")]
ChangedData = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="The data folder, which is changed. Default: .flowpin.")
]
AccessFileOption = Annotated[
    Path | None, typer.Option("--access-file", metavar="FILE", help="The access file. Default: DIR/access.yaml.")
]

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="URL of an existing Postgres 15+ (administrator role) to use instead of the embedded one."
    ),
]


def schemas() -> "list[Schema]":
    import deploy_service
    import workflow_service
    from flowpin_cli.postgres.schemas import Schema

    return [Schema(service.SCHEMA, service.MIGRATIONS) for service in (workflow_service, deploy_service)]


def all_schemas() -> "list[Schema]":
    """All schemas, including the run service's, which exists only where apps run."""
    import run_service
    from flowpin_cli.postgres.schemas import Schema

    return [*schemas(), Schema(run_service.SCHEMA, run_service.MIGRATIONS, is_optional=True)]


def access_file_of(data: Path | None, access_file: Path | None) -> Path:
    """The access file to change. Raises CannotRun if others can change its folder, or if the environment names another
    installation."""
    from flowpin_cli.machine.data_folder import found

    if access_file is not None:
        return access_file
    folder = folder_of(data, os.environ)
    found(folder)
    return folder / "access.yaml"


@contextmanager
def problems_told(exit_code: int | None = None) -> Iterator[None]:
    """Report why a command cannot continue, and exit with `exit_code`, or by default with the error's code."""
    try:
        yield
    except CannotRun as error:
        red, plain = ("\x1b[31m", "\x1b[0m") if sys.stderr.isatty() else ("", "")
        print(f"{red}flowpin: {error}{plain}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code if exit_code is None else exit_code)
