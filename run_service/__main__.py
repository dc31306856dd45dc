"""`python -m run_service serve|migrate|host`."""

from run_service import MIGRATIONS, SCHEMA
from run_service.settings import Settings
from service_kit import command
from service_kit.lifecycle import until_stopped


async def serve(settings: Settings) -> None:
    # Here, as `migrate` has no use for all that it imports, and `flowpin up` waits for both.
    from run_service.service import running_run_service

    async with running_run_service(settings):
        await until_stopped()


if __name__ == "__main__":
    command.run("run_service", Settings, serve, SCHEMA, MIGRATIONS)
