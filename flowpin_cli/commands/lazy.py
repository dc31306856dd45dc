"""Groups that import and build only the requested command, because importing all takes longer than a call."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from flowpin_cli.commands.options import MARKUP

PACKAGE = "flowpin_cli.commands"


def lazy_group(members: Mapping[str, str]) -> type[TyperGroup]:
    """`members` maps each command to its location, in the order of the help.

    A location is a module of flowpin_cli.commands with an `app`, or a function such as "workflow_versions:save".
    """

    class LazyGroup(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            self.commands = dict.fromkeys(members)  # type: ignore[assignment]  # the names, for "Did you mean …?"

        def list_commands(self, ctx: Any) -> list[str]:
            return list(members)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            return _built(cmd_name, members[cmd_name]) if cmd_name in members else None

    return LazyGroup


def _built(name: str, where: str) -> Any:
    module_name, _, function = where.partition(":")
    module = import_module(f"{PACKAGE}.{module_name}")
    app = module.app if not function else typer.Typer(add_completion=False, rich_markup_mode=MARKUP)
    if function:
        app.command(name)(getattr(module, function))
    command = typer.main.get_command(app)
    command.name = name
    return command


def group(help_text: str, members: Mapping[str, str]) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(
        cls=lazy_group(members),
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=MARKUP,
        help=help_text,
        invoke_without_command=False,
        callback=_nothing,
    )


def _nothing() -> None:
    """Typer needs a callback to create a group that is not a command itself."""
