"""Follows the events of deployments: of an app, or of all apps of a project."""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from uuid import UUID

from deploy_service.messages import deployment_message
from deploy_service.model import Deployment
from deploy_service.repository import events
from deploy_service.repository.events import Event
from deploy_service.signals import Topic
from service_kit.access.caller import Caller
from service_kit.db import Pool
from service_kit.errors import InvalidFields
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from service_kit.serving.watches import Watches
from service_kit.signals import Signals
from service_kit.times import timestamp

EVENTS_AT_ONCE = 100
SEQUENCE = re.compile(r"\d{1,18}")


class DeploymentWatch:
    """A stream's position in the events of a project."""

    def __init__(self, pool: Pool, project_id: UUID, app_id: UUID | None, after: int) -> None:
        self._pool = pool
        self._project_id = project_id
        self._app_id = app_id
        self._after = after

    def position(self) -> pb.WatchDeploymentsResponse:
        return pb.WatchDeploymentsResponse(sequence=str(self._after), event=pb.DEPLOYMENT_EVENT_POSITION)

    async def news(self) -> AsyncGenerator[pb.WatchDeploymentsResponse, None]:
        """The events after the last one that was sent."""
        is_more = True
        while is_more:
            async with self._pool.acquire() as db:
                found, last = await events.list_events(db, self._project_id, self._app_id, self._after, EVENTS_AT_ONCE)
            for event in found:
                yield event_message(event)
            self._after = last
            is_more = len(found) == EVENTS_AT_ONCE


async def watch_deployments(
    pool: Pool,
    watches: Watches,
    signals: Signals,
    caller: Caller,
    project_id: UUID,
    app_id: UUID | None,
    after: str | None,
) -> AsyncGenerator[pb.WatchDeploymentsResponse, None]:
    """Raises InvalidFields, or any error of `Watches.follow`."""
    # Subscribe before the first read, so that no event in between is missed.
    with signals.subscribe(Topic.NUMBERED, about=app_id) as subscription:
        async with pool.acquire() as db:
            await events.number_events(db)
            last = await events.find_last_sequence(db, project_id)
        if after is not None and not (SEQUENCE.fullmatch(after) and int(after) <= last):
            raise InvalidFields({"after": "must be a sequence that a stream of this project has sent"})
        watch = DeploymentWatch(pool, project_id, app_id, last if after is None else int(after))
        following = watches.follow(caller, project_id, subscription, watch.news, watch.position)
        async with aclosing(following) as messages:
            async for message in messages:
                yield message


def event_message(event: Event) -> pb.WatchDeploymentsResponse:
    return pb.WatchDeploymentsResponse(
        sequence=str(event.sequence),
        event=pb.DeploymentEvent.Value(f"DEPLOYMENT_EVENT_{event.kind.upper()}"),
        at=timestamp(event.created_at),
        deployment=deployment_message(as_of(event)),
    )


def as_of(event: Event) -> Deployment:
    """The deployment as it was after the event. The table has its current state."""
    now = event.deployment
    match event.kind:
        case "asked_for" | "deploying":
            return replace(
                now,
                status="pending" if event.kind == "asked_for" else "deploying",
                finished_at=None,
                error_code=None,
                error_message=None,
                live_from=None,
                live_to=None,
                health=None,
                health_note=None,
                rollout_notes=(),
            )
        case "live":
            return replace(now, live_to=None, health=None, health_note=None)
        case "marked" if event.health != now.health:
            return replace(now, health=event.health, health_note=None)
    return now
