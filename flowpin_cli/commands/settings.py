"""`flowpin settings`."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flowpin_cli.commands.options import DEFAULT_DATA, MARKUP, Data, problems_told

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

app = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)


@app.command()
def settings(
    data: Data = DEFAULT_DATA,
    reference: Annotated[bool, typer.Option("--reference", help="Print docs/configuration.md instead.")] = False,
) -> None:
    """List every setting of the processes, its value, and where the value comes from.

    The values are those of `flowpin up` on DIR, started from this shell. It sets some itself and passes the environment
    on. For a secret it shows only whether it is set.

    Examples: `flowpin settings`, `GATEWAY_RATE_LIMIT=100/second flowpin settings | grep RATE`
    """
    from flowpin_cli.settings import show, without_effect
    from flowpin_cli.settings_reference import reference as reference_of

    if reference:
        print(reference_of(classes()), end="")  # noqa: T201
        return
    with problems_told():
        show(data, classes(), os.environ, Console())
        for warning in without_effect(data, classes(), os.environ):
            print(f"flowpin: {warning}", file=sys.stderr)  # noqa: T201


def classes() -> "dict[str, type[BaseSettings]]":
    """The settings of each kind of process."""
    import console.settings
    import deploy_service.settings
    import gateway.settings
    import run_service.settings
    import workflow_service.settings

    return {
        "gateway": gateway.settings.Settings,
        "workflow": workflow_service.settings.Settings,
        "deploy": deploy_service.settings.Settings,
        "run": run_service.settings.Settings,
        "host": run_service.settings.HostProcessSettings,
        "console": console.settings.Settings,
    }
