"""`python -m gateway serve`, and `python -m gateway openapi`."""

import sys

from gateway.openapi.document import as_text, document
from gateway.server import ALL_CONTRACTS, running_gateway
from gateway.settings import Settings
from service_kit import command, logs
from service_kit.hotpath import event_loop
from service_kit.lifecycle import until_stopped


async def serve(settings: Settings) -> None:
    async with running_gateway(settings):
        await until_stopped()


def main() -> None:
    commands = {"serve": "answer /v1 until SIGTERM", "openapi": "print the OpenAPI document"}
    if command.parse("gateway", commands, Settings) == "openapi":
        sys.stdout.write(as_text(document(ALL_CONTRACTS)))
        return
    settings = command.read_settings(Settings)
    logs.configure("gateway", settings.log_level, settings.log_format)
    try:
        event_loop.run(serve(settings))
    except RuntimeError as error:
        command.refuse(f"gateway: {error}")
    except OSError as error:
        command.refuse(f"gateway: cannot listen on {settings.listen}: {error.strerror}")


if __name__ == "__main__":
    main()
