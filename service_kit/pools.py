"""The connections of a service, in two pools, so that heavy reads never take those of short statements."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from service_kit.db import Pool, open_pool
from service_kit.settings import ServiceSettings


@dataclass(frozen=True, slots=True)
class Pools:
    hot: Pool
    """The pool for reads and changes of single objects: versions, saves, deployments."""
    pages: Pool
    """The pool for reads of many rows or large documents: lists, histories, audit events, diffs and exports."""


@asynccontextmanager
async def open_pools(settings: ServiceSettings, schema: str) -> AsyncIterator[Pools]:
    """Both pools, on the serving role's database. They open without a database and find one later."""
    url, limits = settings.database_url.get_secret_value(), settings.database_limits
    async with (
        open_pool(url, schema, settings.pool_size, limits, one_plan=True) as hot,
        open_pool(url, schema, settings.page_pool_size, limits, "pages", one_plan=True) as pages,
    ):
        yield Pools(hot, pages)
