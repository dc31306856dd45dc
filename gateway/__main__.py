"""`python -m gateway serve`."""

import asyncio

from gateway.server import running_gateway
from gateway.settings import Settings
from service_kit import command, logs
from service_kit.lifecycle import until_stopped


async def serve(settings: Settings) -> None:
    async with running_gateway(settings):
        await until_stopped()


def main() -> None:
    command.parse("gateway", {"serve": "answer /v1 until SIGTERM"}, Settings)
    settings = command.read_settings(Settings)
    logs.configure("gateway", settings.log_level, settings.log_format)
    try:
        asyncio.run(serve(settings))
    except OSError as error:
        command.refuse(f"gateway: cannot listen on {settings.listen}: {error.strerror}")


if __name__ == "__main__":
    main()
