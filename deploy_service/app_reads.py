"""Reads apps, the busiest path of this service. Concurrent reads share one statement."""

from uuid import UUID

from deploy_service.model import App
from deploy_service.repository import apps
from service_kit.array_parameters import Projects
from service_kit.db import Pool
from service_kit.hotpath.coalescer import Coalescer


class AppReads:
    def __init__(self, pool: Pool) -> None:
        self._found: Coalescer[apps.Key, App] = Coalescer(pool, apps.find_apps, only_reads=True)

    async def get(self, projects: Projects, app_id: UUID) -> App:
        """Raises AppNotFound."""
        return await self._found.get((projects, app_id))
