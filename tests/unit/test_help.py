"""`flowpin --version`, and the help of every command."""

import re

import typer
from typer.testing import CliRunner

from flowpin_cli.cli import app
from service_kit.release import VERSION


def commands(command=None, path: tuple[str, ...] = ("flowpin",)):
    """Every command with its words, also those of groups."""
    command = command or typer.main.get_command(app)
    if not hasattr(command, "list_commands"):
        yield " ".join(path), command
        return
    context = command.context_class(command)
    for name in command.list_commands(context):
        yield from commands(command.get_command(context, name), (*path, name))


def test_flowpin_version_prints_the_installed_version():
    result = CliRunner().invoke(app, ["--version"])

    assert (result.exit_code, result.output) == (0, f"flowpin {VERSION}\n")


def test_the_help_of_every_command_has_an_example():
    found = dict(commands())

    assert len(found) > 40
    assert [name for name, command in found.items() if not re.search(rf"`.*{name}\b", command.help or "")] == []
