"""Keeps the offline copy up to date with the current routes."""

import asyncio
import time
from collections.abc import Iterable

import structlog

from run_service.offline.offline_copy import OfflineCopy, loadable_name, variables_name
from run_service.supply.deploy_client import DeployClient
from run_service.supply.route_table import RouteTable
from run_service.supply.routes import MadeFrom, Route
from service_kit.errors import ServiceError

PAUSE_SECONDS = 0.2
"""Seconds between two writes. Changes within this time are written together."""
SHARE = 10
"""The pause is at least this many times as long as the write."""
LONGEST_PAUSE_SECONDS = 2.0
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0

log = structlog.get_logger()


class OfflineWriter:
    def __init__(self, table: RouteTable, deploys: DeployClient, copy: OfflineCopy) -> None:
        self._table = table
        self._deploys = deploys
        self._copy = copy
        self._changed = asyncio.Event()
        self._written: bytes | None = None

    def changed(self) -> None:
        """Call this when the table has changed."""
        self._changed.set()

    async def write(self) -> None:
        """Write changes until canceled: first the routes, then the missing documents and variables of their
        replicas."""
        retry: float | None = None
        while True:
            try:
                async with asyncio.timeout(retry):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            began = time.monotonic()
            problem = await self._write_once()
            if problem and problem != self._copy.not_kept:
                log.warning("offline_copy_not_completed", error=problem)
            self._copy.not_kept = problem
            retry = None if not problem else min(2 * (retry or FIRST_RETRY_SECONDS / 2), LONGEST_RETRY_SECONDS)
            await asyncio.sleep(min(max(PAUSE_SECONDS, SHARE * (time.monotonic() - began)), LONGEST_PAUSE_SECONDS))

    async def _write_once(self) -> str:
        """Returns why the copy is incomplete. Empty if it is complete."""
        if not self._table.is_current:
            return self._copy.not_kept
        try:
            routes = self._table.snapshot()
            needed = _needed(self._table.routes)
            content = routes.SerializeToString(deterministic=True)
            names = await asyncio.to_thread(self._copy.names)
            if content != self._written:
                await asyncio.to_thread(self._copy.write_routes, routes)
                self._written = content
            kept = {name for made_from in needed for name in _names_of(made_from)}
            await asyncio.to_thread(self._copy.prune, kept)  # first, because it makes room
            problem = await self._write_needed(needed, names)
            await asyncio.to_thread(self._copy.prune, kept)
            return problem
        except OSError as error:
            self._written = None
            return f"the folder cannot be written: {error.strerror}"

    async def _write_needed(self, needed: Iterable[MadeFrom], names: set[str]) -> str:
        missing, refused = 0, ""
        for made_from in needed:
            loadable, variables = _names_of(made_from)
            try:
                if not self._has(loadable, names):
                    document = await self._deploys.loadable(made_from)
                    missing += not await asyncio.to_thread(self._copy.write_loadable, made_from, document)
                if not self._has(variables, names):
                    values = await self._deploys.variables(made_from)
                    missing += not await asyncio.to_thread(self._copy.write_variables, made_from, values)
            except ServiceError as error:
                missing, refused = missing + 1, error.reason
        if missing == 0:
            return ""
        return f"{missing} documents or sets of variables are not kept: {refused or 'there is no room'}"

    def _has(self, name: str, names: set[str]) -> bool:
        return name in names and self._copy.is_usable(name)


def _names_of(made_from: MadeFrom) -> tuple[str, str]:
    return loadable_name(made_from), variables_name(made_from)


def _needed(routes: Iterable[Route]) -> set[MadeFrom]:
    """Everything that is live and can be called."""
    return {
        environment.live.made_from
        for route in routes
        if not route.is_archived
        for environment in route.environments
        if environment.live and environment.live.made_from.loadable_digest
    }
