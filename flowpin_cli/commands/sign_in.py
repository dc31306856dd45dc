"""`flowpin sign-in`."""

import typer

from flowpin_cli.commands.options import DEFAULT_DATA, MARKUP, Data, problems_told

app = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)


@app.command()
def sign_in(data: Data = DEFAULT_DATA) -> None:
    """Print a link that signs a browser in to the console of a running `flowpin up`. It works once, for an hour.

    Example: `flowpin sign-in`
    """
    from flowpin_cli.machine.data_folder import found
    from flowpin_cli.up.pages import link_of_last_run

    with problems_told():
        print(link_of_last_run(found(data)))  # noqa: T201
