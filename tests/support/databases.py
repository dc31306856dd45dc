"""Databases with every service's schema. Each is a copy of one: that takes 40 ms, and the migrations take 300."""

import itertools
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg

import deploy_service
import run_service
import workflow_service
from service_kit import migrations

MIGRATIONS = {
    "workflow": workflow_service.MIGRATIONS,
    "deploy": deploy_service.MIGRATIONS,
    "run": run_service.MIGRATIONS,
}
"""By schema. The schemas have the names that the services use by default."""
ORIGINAL = "migrated"
numbers = itertools.count(1)


def of_database(urls: Mapping[str, str], name: str) -> dict[str, str]:
    """The same URLs for another database of the same Postgres."""
    return {role: urlsplit(url)._replace(path=f"/{name}").geturl() for role, url in urls.items()}


async def create_original(urls: Mapping[str, str]) -> None:
    """Create the database that others are copies of. `urls` are by role; `admin` is the superuser's."""
    await _execute(urls, f"CREATE DATABASE {ORIGINAL}")
    await migrate(of_database(urls, ORIGINAL), MIGRATIONS)


async def migrate(urls: Mapping[str, str], schemas: Iterable[str] = ("workflow", "deploy")) -> None:
    """Create the schemas, one after the other, because roles cannot be created concurrently."""
    for schema in schemas:
        migrator, serving = urls[f"flowpin_{schema}_migrator"], urls[f"flowpin_{schema}"]
        await migrations.provision(urls["admin"], schema, migrator, serving)
        await migrations.migrate(migrator, schema, MIGRATIONS[schema])


@asynccontextmanager
async def fresh_database(urls: Mapping[str, str]) -> AsyncIterator[dict[str, str]]:
    """The URLs of a new database, which is dropped at the end."""
    name = f"test_{next(numbers)}"
    await _execute(urls, f"CREATE DATABASE {name} TEMPLATE {ORIGINAL}")
    try:
        yield of_database(urls, name)
    finally:
        await _execute(urls, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(urls: Mapping[str, str], statement: str) -> None:
    connection = await asyncpg.connect(urls["admin"])
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
