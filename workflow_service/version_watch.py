"""Streams the events of a workflow's versions."""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

from service_kit.access.caller import Caller
from service_kit.db import Pool
from service_kit.errors import InvalidFields
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.serving.watches import Watches
from service_kit.signals import Signals
from service_kit.times import timestamp
from workflow_service.messages import version_message
from workflow_service.repository import version_changes
from workflow_service.repository.version_changes import Place, VersionChange
from workflow_service.signals import Topic

CHANGES_AT_ONCE = 100
SEQUENCE = re.compile(r"(\d{1,9})\.(\d{1,9})")


class VersionWatch:
    """A stream's position in the changes of a workflow."""

    def __init__(self, pool: Pool, project_id: UUID, workflow_id: UUID, after: Place) -> None:
        self._pool = pool
        self._project_id = project_id
        self._workflow_id = workflow_id
        self._after = after

    def position(self) -> pb.WatchVersionsResponse:
        return pb.WatchVersionsResponse(sequence=sequence_of(self._after), event=pb.VERSION_EVENT_POSITION)

    async def news(self) -> AsyncGenerator[pb.WatchVersionsResponse, None]:
        """The changes since the last one that was sent. Raises WorkflowNotFound once the workflow is deleted."""
        is_more = True
        while is_more:
            async with self._pool.acquire() as db:
                found = await version_changes.list_changes(
                    db, self._project_id, self._workflow_id, self._after, CHANGES_AT_ONCE
                )
            for change in found:
                yield change_message(change)
                self._after = change.place
            is_more = len(found) == CHANGES_AT_ONCE


async def watch_versions(
    pool: Pool, watches: Watches, signals: Signals, caller: Caller, workflow_id: UUID, after: str | None
) -> AsyncGenerator[pb.WatchVersionsResponse, None]:
    """Raises WorkflowNotFound, InvalidFields, or any error of `Watches.follow`."""
    # Subscribe before the first read, so that no change in between is missed.
    with signals.subscribe(Topic.CHANGED, about=workflow_id) as subscription:
        async with pool.acquire() as db:
            project_id, last = await version_changes.find_last_place(db, caller.permitted_projects, workflow_id)
        place = last if after is None else place_of(after)
        if place is None or place > last:
            raise InvalidFields({"after": "must be a sequence that a stream of this workflow has sent"})
        watch = VersionWatch(pool, project_id, workflow_id, place)
        following = watches.follow(caller, project_id, subscription, watch.news, watch.position)
        async with aclosing(following) as messages:
            async for message in messages:
                yield message


def sequence_of(place: Place) -> str:
    return f"{place[0]}.{place[1]}"


def place_of(sequence: str) -> Place | None:
    """None if the text is not a sequence number."""
    parts = SEQUENCE.fullmatch(sequence)
    return (int(parts[1]), int(parts[2])) if parts else None


def change_message(change: VersionChange) -> pb.WatchVersionsResponse:
    return pb.WatchVersionsResponse(
        sequence=sequence_of(change.place),
        event=pb.VersionEvent.Value(f"VERSION_EVENT_{change.kind.upper()}"),
        at=timestamp(change.created_at),
        version=None if change.version is None else version_message(change.version),
        label=change.label,
    )
