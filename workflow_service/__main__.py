"""`python -m workflow_service serve|migrate`."""

from service_kit import command
from service_kit.lifecycle import until_stopped
from workflow_service import MIGRATIONS, SCHEMA
from workflow_service.settings import Settings


async def serve(settings: Settings) -> None:
    # Imported here: `migrate` does not need it and starts faster without it, and `flowpin up` waits for `migrate`.
    from workflow_service.service import running_workflow_service

    async with running_workflow_service(settings):
        await until_stopped()


if __name__ == "__main__":
    command.run("workflow_service", Settings, serve, SCHEMA, MIGRATIONS)
