"""`flowpin logout`."""

import os

import typer

from flowpin_cli.commands.options import MARKUP, problems_told
from flowpin_cli.commands.remote import Data

app = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)


@app.command()
def logout(data: Data = None) -> None:
    """Remove the token of `flowpin login`, and revoke it if the issuer offers that.

    Example: `flowpin logout`

    A copy of the token is accepted until it expires, because services do not ask the issuer.
    """
    from flowpin_cli.login.session import end

    with problems_told():
        end(data, os.environ)
