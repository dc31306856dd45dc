"""Assigns sequence numbers to committed deployment events, and wakes the streams of this process.

Any replica numbers the events of all replicas. The transaction of the change cannot do it: it may commit after events
with greater numbers, and readers that have read those would miss it.
"""

import asyncio

import asyncpg
import structlog

from deploy_service.repository import events
from deploy_service.signals import Topic
from service_kit.database_errors import describe
from service_kit.db import FAILURES, Pool
from service_kit.signals import Signals

LOOK_SECONDS = 1.0
"""Seconds between two polls, because a replica of an earlier release sends no signal, and one can be lost."""
PAUSE_SECONDS = 0.02
"""Pause after each read, so that the events of busy times are numbered together."""

log = structlog.get_logger()


async def number_for_ever(pool: Pool, signals: Signals) -> None:
    """Number until canceled."""
    with signals.subscribe(Topic.ASKED, Topic.CLAIMED, Topic.CHANGED, Topic.MARKED) as subscription:
        while True:
            told = await subscription.wait(LOOK_SECONDS)
            try:
                async with pool.acquire() as db:
                    numbered = await events.number_events(db)
            except asyncpg.UndefinedTableError:
                continue  # the migration has not run yet; health reports it
            except FAILURES as error:
                log.warning("events_not_numbered", error=describe(error))
                continue
            # Another replica may have numbered the events of these signals.
            apps = None if told is None else numbered | {app_id for _, app_id in told}
            signals.tell_here(Topic.NUMBERED, apps)
            await asyncio.sleep(PAUSE_SECONDS)
