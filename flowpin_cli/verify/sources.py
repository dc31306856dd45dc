"""Which databases are verified: the one of a data folder, an administrator's, or those that the services are given."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import deploy_service
import workflow_service
from flowpin_cli.console import Announcer
from flowpin_cli.errors import CannotRun
from flowpin_cli.postgres.alone import administrator_url
from flowpin_cli.verify.snapshot import Source

SERVICES = (deploy_service, workflow_service)
VARIABLES = {"deploy": "DEPLOY_DATABASE_URL", "workflow": "WORKFLOW_DATABASE_URL"}


@dataclass(frozen=True)
class Installation:
    """What the person named; `data` None unless it was."""

    data: Path | None
    database_url: str | None
    environ: Mapping[str, str]


def sources_at(url: str) -> list[Source]:
    """Both schemas in one database."""
    return [Source(service.SCHEMA, url, service.SCHEMA, service.MIGRATIONS) for service in SERVICES]


@asynccontextmanager
async def open_sources(
    installation: Installation, default_data: Path, announcer: Announcer
) -> AsyncIterator[list[Source]]:
    """Where both schemas are, until the block ends; a data folder's Postgres is started if it does not run.

    Raises CannotRun.
    """
    urls = {name: installation.environ.get(variable, "") for name, variable in VARIABLES.items()}
    if installation.data is None and installation.database_url is None and any(urls.values()):
        if missing := [variable for name, variable in VARIABLES.items() if not urls[name]]:
            raise CannotRun(f"{missing[0]} is not set, but the other service's is; give both, or name a --data folder")
        yield [Source(each.SCHEMA, urls[each.SCHEMA], each.SCHEMA, each.MIGRATIONS) for each in SERVICES]
        return
    data = installation.data or default_data
    async with administrator_url(data, installation.database_url, announcer) as url:
        yield sources_at(url)
