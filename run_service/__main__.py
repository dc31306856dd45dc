"""`python -m run_service serve|migrate|host`."""

import asyncio

from run_service import MIGRATIONS, SCHEMA
from run_service.settings import HostProcessSettings, Settings
from service_kit import command, logs
from service_kit.lifecycle import until_stopped


async def serve(settings: Settings) -> None:
    # Imported here: `migrate` does not need it and starts faster without it, and `flowpin up` waits for `migrate`.
    from run_service.service import running_run_service

    async with running_run_service(settings):
        await until_stopped()


def host() -> None:
    from run_service.hosting.running import HostRunning, run_host

    settings = command.read_settings(HostProcessSettings, of_others=[Settings])
    logs.configure("run_service_host", settings.log_level, settings.log_format)
    try:
        asyncio.run(run_host(settings.host))  # asyncio's own loop, because uvloop keeps SIGCHLD to itself
    except (HostRunning, OSError) as error:
        command.refuse(f"run_service: {error}")


if __name__ == "__main__":
    others = {"host": ("start, confine and end the replicas of apps until SIGTERM", host)}
    command.run("run_service", Settings, serve, SCHEMA, MIGRATIONS, others, of_others=[HostProcessSettings])
