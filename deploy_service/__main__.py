"""`python -m deploy_service serve|migrate`."""

from deploy_service import MIGRATIONS, SCHEMA
from deploy_service.settings import Settings
from service_kit import command
from service_kit.lifecycle import until_stopped


async def serve(settings: Settings) -> None:
    # Imported here: `migrate` does not need it and starts faster without it, and `flowpin up` waits for `migrate`.
    from deploy_service.service import running_deploy_service

    async with running_deploy_service(settings):
        await until_stopped()


if __name__ == "__main__":
    command.run("deploy_service", Settings, serve, SCHEMA, MIGRATIONS)
