"""Finds the databases to verify: of a data folder, of an administrator's URL, or from the services' settings."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import deploy_service
import run_service
import workflow_service
from flowpin_cli.console import Announcer
from flowpin_cli.errors import CannotRun
from flowpin_cli.postgres.alone import administrator_url
from flowpin_cli.verify.snapshot import Source

SERVICES = (deploy_service, workflow_service, run_service)
VARIABLES = {"deploy": "DEPLOY_DATABASE_URL", "workflow": "WORKFLOW_DATABASE_URL", "run": "RUN_DATABASE_URL"}
OPTIONAL = {"run"}
"""Services whose schema exists only if apps run."""


@dataclass(frozen=True)
class Installation:
    """The person's options. `data` is None unless it was given."""

    data: Path | None
    database_url: str | None
    environ: Mapping[str, str]


def sources_at(url: str) -> list[Source]:
    """The sources if all schemas are in one database."""
    return _sources({service.SCHEMA: url for service in SERVICES})


def _sources(urls: Mapping[str, str]) -> list[Source]:
    return [
        Source(each.SCHEMA, urls[each.SCHEMA], each.SCHEMA, each.MIGRATIONS, each.SCHEMA in OPTIONAL)
        for each in SERVICES
        if urls.get(each.SCHEMA)
    ]


@asynccontextmanager
async def open_sources(
    installation: Installation, default_data: Path, announcer: Announcer
) -> AsyncIterator[list[Source]]:
    """The sources, until the block ends. The Postgres of a data folder is started if it does not run.

    Raises CannotRun.
    """
    urls = {name: installation.environ.get(variable, "") for name, variable in VARIABLES.items()}
    if installation.data is None and installation.database_url is None and any(urls.values()):
        if missing := [variable for name, variable in VARIABLES.items() if not urls[name] and name not in OPTIONAL]:
            raise CannotRun(f"{missing[0]} is not set, but the other service's is; give both, or name a --data folder")
        yield _sources(urls)
        return
    data = installation.data or default_data
    async with administrator_url(data, installation.database_url, announcer) as url:
        yield sources_at(url)
