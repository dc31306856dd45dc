"""Runs the gateway: `python -m gateway serve`."""

import argparse
import asyncio
import sys

from pydantic import ValidationError

from gateway.server import running_gateway
from gateway.settings import Settings
from service_kit import logs
from service_kit.lifecycle import until_stopped


async def serve(settings: Settings) -> None:
    async with running_gateway(settings):
        await until_stopped()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m gateway", description="The REST face of Flowpin.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser(
        "serve",
        help="serve /v1 until stopped",
        description="Serve /v1 until stopped. Settings come from the environment:\n\n" + "\n".join(settings_help()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args()
    try:
        settings = Settings()
        logs.configure("gateway", settings.log_level, settings.log_format)
        asyncio.run(serve(settings))
    except ValidationError as error:
        sys.exit(f"The settings do not work:\n{error}")
    except OSError as error:
        sys.exit(f"Cannot listen on {settings.listen}: {error.strerror}")


def settings_help() -> list[str]:
    prefix = Settings.model_config["env_prefix"]
    return [
        f"  {prefix}{name.upper()}{'' if field.is_required() else f'={field.default}'}\n      {field.description}"
        for name, field in Settings.model_fields.items()
    ]


if __name__ == "__main__":
    main()
