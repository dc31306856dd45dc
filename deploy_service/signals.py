"""Tells all replicas at once that something has changed, so that none waits for its next look.

A signal says only that there is something to read. One can be lost, with a replica or with the database, so whoever
waits for one also looks by itself now and then.
"""

import asyncio
import secrets
from collections.abc import Iterator, Set
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, TypeAlias
from uuid import UUID

import structlog

from deploy_service.repository import signals as repository
from service_kit.database_errors import describe
from service_kit.db import FAILURES

MOST_SEEN = 1000
"""Signals that a subscriber has not taken yet. With more it is told to look at everything."""
RETRY_SECONDS = 0.5
IDLE_SECONDS = 5.0
"""After so long without a signal the connection is tried."""

log = structlog.get_logger()


class Topic(StrEnum):
    ASKED = "asked"
    """An app has a new rollout to be worked on."""
    CHANGED = "changed"
    """An app, or what it has live or under way, is another."""
    ROUTED = "routed"
    """A rollout of an app has come to its end, and routers were waited for."""
    REPORTED = "reported"
    """There is a report of a deployment."""
    ACKNOWLEDGED = "acknowledged"
    """A router has acknowledged routes."""
    KEYS = "keys"
    """A project has other access keys."""


Signal: TypeAlias = tuple[Topic, UUID]
EVERY = UUID(int=0)
"""What a signal is about that is for all who wait for its topic."""


class Subscription:
    """The signals of some topics since they were last taken."""

    def __init__(self, topics: Set[Topic], about: UUID | None) -> None:
        self._topics = topics
        self._about = about
        self._seen: set[Signal] | None = set()
        self._some = asyncio.Event()

    def add(self, signal: Signal | None) -> None:
        """None: any may have been missed."""
        if signal is not None and not self._takes(*signal):
            return
        if signal is None or (self._seen is not None and len(self._seen) == MOST_SEEN):
            self._seen = None
        elif self._seen is not None:
            self._seen.add(signal)
        self._some.set()

    def _takes(self, topic: Topic, thing: UUID) -> bool:
        return topic in self._topics and (self._about is None or thing in (self._about, EVERY))

    async def wait(self, seconds: float) -> set[Signal] | None:
        """What has come, as soon as something has, or nothing after `seconds`. None: look at everything."""
        try:
            async with asyncio.timeout(seconds):
                await self._some.wait()
        except TimeoutError:
            return set()
        self._some.clear()
        seen, self._seen = self._seen, set()
        return seen


class Signals:
    """Sends to the subscribers in this process at once, and by Postgres' NOTIFY to those of the other replicas."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._name = secrets.token_hex(8)
        self._outbox: dict[Signal, None] = {}
        self._some = asyncio.Event()
        self._is_carried = False

    def send(self, topic: Topic, thing: UUID) -> None:
        """To be called once the change is committed."""
        self._deliver((topic, thing))
        if self._is_carried:
            self._outbox[topic, thing] = None
            self._some.set()

    def wake(self) -> None:
        """Have all subscribers in this process look at everything."""
        self._deliver(None)

    @contextmanager
    def subscribe(self, *topics: Topic, about: UUID | None = None) -> Iterator[Subscription]:
        """Signals that are sent from now on; with `about` only those about that."""
        subscription = Subscription(frozenset(topics), about)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    async def carry(self, url: str, schema: str) -> None:
        """Carry signals to and from the other replicas, for ever, on a connection of its own."""
        channel = f"{schema}_signals"
        while True:
            try:
                async with repository.listening(url, channel, self._receive) as connection:
                    self._is_carried = True
                    self._deliver(None)
                    while True:
                        await self._until_some()
                        outbox, self._outbox = self._outbox, {}
                        texts = [f"{self._name} {topic} {thing}" for topic, thing in outbox]
                        await repository.notify(connection, channel, texts)
            except FAILURES as error:
                log.warning("signals_wait_for_database", error=describe(error))
            finally:
                self._is_carried = False
                self._outbox.clear()
            await asyncio.sleep(RETRY_SECONDS)

    async def _until_some(self) -> None:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await self._some.wait()
        except TimeoutError:
            return
        self._some.clear()

    def _receive(self, connection: Any, pid: int, channel: str, text: str) -> None:
        sender, _, rest = text.partition(" ")
        topic, _, thing = rest.partition(" ")
        if sender == self._name:
            return
        try:
            self._deliver((Topic(topic), UUID(thing)))
        except ValueError:  # of a later release
            self._deliver(None)

    def _deliver(self, signal: Signal | None) -> None:
        for subscription in self._subscriptions:
            subscription.add(signal)
