"""`flowpin protos`."""

from pathlib import Path
from typing import Annotated

import typer

from flowpin_cli.commands.options import MARKUP

app = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)


@app.command()
def protos(folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder. It is created if needed.")]) -> None:
    """Write the gRPC contracts and their imports to a folder, for protoc, buf, grpc-js and other tools.

    Example: `flowpin protos contracts && buf build contracts`
    """
    from flowpin_cli.protos import write_protos

    for path in write_protos(folder):
        print(folder / path)  # noqa: T201 - the command's output
