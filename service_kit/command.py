"""The command line of a service: `serve` and `migrate`, and help that lists its settings."""

import argparse
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from service_kit import logs, migrations
from service_kit.access.file import AccessFileError
from service_kit.db import FAILURES
from service_kit.hotpath import event_loop
from service_kit.lifecycle import BackgroundTaskEnded
from service_kit.settings import ServiceSettings, misspelt, variable

S = TypeVar("S", bound=BaseSettings)
Service = TypeVar("Service", bound=ServiceSettings)


def run(
    module: str,
    settings_class: type[Service],
    serve: Callable[[Service], Awaitable[None]],
    schema: str,
    folder: Path,
    others: Mapping[str, tuple[str, Callable[[], None]]] = MappingProxyType({}),
    of_others: Sequence[type[BaseSettings]] = (),
) -> None:
    """Parse the command line and run the command. If that fails, exit with 1 and one clear sentence.

    `others` are further commands of this service with their help. Each reads its own settings, `of_others`.
    """
    commands = {
        "serve": "answer RPCs until SIGTERM",
        "migrate": f"bring the schema {schema!r} up to date, then exit",
        **{name: help_text for name, (help_text, _) in others.items()},
    }
    command = parse(module, commands, settings_class)
    if command in others:
        others[command][1]()
        return
    settings = read_settings(settings_class, of_others)
    logs.configure(module, settings.log_level, settings.log_format)
    try:
        event_loop.run(_migrate(settings, schema, folder) if command == "migrate" else _wait_for(serve(settings)))
    except (AccessFileError, BackgroundTaskEnded, migrations.MigrationError, RuntimeError, ValueError) as error:
        refuse(f"{module}: {error}")
    except FAILURES as error:
        refuse(f"{module}: the database refused: {error}")


async def _wait_for(serving: Awaitable[None]) -> None:
    await serving


async def _migrate(settings: ServiceSettings, schema: str, folder: Path) -> None:
    if settings.migrator_database_url is None:
        raise migrations.MigrationError("migrate needs the setting migrator_database_url")
    migrator_url = settings.migrator_database_url.get_secret_value()
    if settings.admin_database_url is not None:
        admin_url, serving_url = (
            settings.admin_database_url.get_secret_value(),
            settings.database_url.get_secret_value(),
        )
        await migrations.provision(admin_url, schema, migrator_url, serving_url)
    await migrations.migrate(migrator_url, schema, folder)


def parse(module: str, commands: dict[str, str], settings_class: type[BaseSettings]) -> str:
    """The requested command. `--help` explains the commands and every setting with its default."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Settings, read from the environment:\n" + describe(settings_class),
    )
    choices = parser.add_subparsers(dest="command", required=True, metavar="|".join(commands))
    for name, help_text in commands.items():
        choices.add_parser(name, help=help_text)
    return str(parser.parse_args().command)


def describe(settings_class: type[BaseSettings]) -> str:
    prefix = settings_class.model_config.get("env_prefix", "")
    lines = []
    for name, field in settings_class.model_fields.items():
        default = "required" if field.is_required() else f"default {field.default}"
        description = " ".join((field.description or "").split())
        lines.append(f"  {variable(prefix, name, field)} ({default})\n      {description}")
    return "\n".join(lines)


def read_settings(settings_class: type[S], of_others: Sequence[type[BaseSettings]] = ()) -> S:
    """The settings from the environment. Exits and names each variable that is missing or invalid.

    Warns on stderr about misspelt variables: they have the prefix, but are not a setting of this class or of
    `of_others`.
    """
    for warning in misspelt([settings_class, *of_others]):
        sys.stderr.write(f"{warning}\n")
    try:
        return settings_class()
    except ValidationError as error:
        prefix = settings_class.model_config.get("env_prefix", "")
        problems = (f"{prefix}{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        refuse("\n".join(problems))


def refuse(message: str) -> NoReturn:
    sys.exit(message)
