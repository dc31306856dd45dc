"""Notifies all replicas of changes, so that they do not wait for their next poll.

A signal only says that there is something to read. Signals can be lost when a replica or the database fails, so every
subscriber also polls.
"""

import asyncio
import secrets
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, TypeAlias
from uuid import UUID

import structlog

from service_kit.database_errors import describe
from service_kit.db import FAILURES
from service_kit.signals import repository

MOST_SEEN = 1000
"""Maximum number of signals that a subscriber has not read. Beyond it, the subscriber must read everything."""
RETRY_SECONDS = 0.5
IDLE_SECONDS = 5.0
"""Seconds without a signal after which the connection is tested."""

log = structlog.get_logger()


Signal: TypeAlias = tuple[StrEnum, UUID]
"""A topic of the service, and the id of its subject."""
EVERY = UUID(int=0)
"""The subject of a signal for all subscribers of its topic."""


class Subscription:
    """The signals of some topics since they were last taken."""

    def __init__(self, topics: Set[StrEnum], about: UUID | None) -> None:
        self._topics = topics
        self._about = about
        self._seen: set[Signal] | None = set()
        self._some = asyncio.Event()

    def add(self, signal: Signal | None) -> None:
        """Add a signal. None means that any signal may have been missed."""
        if signal is not None and not self._takes(*signal):
            return
        if signal is None or (self._seen is not None and len(self._seen) == MOST_SEEN):
            self._seen = None
        elif self._seen is not None:
            self._seen.add(signal)
        self._some.set()

    def _takes(self, topic: StrEnum, thing: UUID) -> bool:
        return topic in self._topics and (self._about is None or thing in (self._about, EVERY))

    async def wait(self, seconds: float) -> set[Signal] | None:
        """The received signals as soon as there are any, or an empty set after `seconds`. None means: read
        everything."""
        try:
            async with asyncio.timeout(seconds):
                await self._some.wait()
        except TimeoutError:
            return set()
        self._some.clear()
        seen, self._seen = self._seen, set()
        return seen


class Signals:
    """Sends signals to the subscribers in this process immediately, and to those of other replicas with Postgres'
    NOTIFY."""

    def __init__(self, topics: type[StrEnum], gather_seconds: float) -> None:
        """`topics` are those of the service. Signals to other replicas are combined, and sent at most every
        `gather_seconds`."""
        self._topics = topics
        self._gather_seconds = gather_seconds
        self._subscriptions: set[Subscription] = set()
        self._name = secrets.token_hex(8)
        self._outbox: dict[Signal, None] = {}
        self._some = asyncio.Event()
        self._is_carried = False

    def send(self, topic: StrEnum, thing: UUID) -> None:
        """Call this after the change is committed."""
        self._deliver((topic, thing))
        if self._is_carried:
            self._outbox[topic, thing] = None
            self._some.set()

    def tell_here(self, topic: StrEnum, things: Iterable[UUID] | None) -> None:
        """Notify only the subscribers in this process. None makes them read everything."""
        if things is None:
            self._deliver(None)
        else:
            for thing in things:
                self._deliver((topic, thing))

    def wake(self) -> None:
        """Make all subscribers in this process read everything."""
        self._deliver(None)

    @contextmanager
    def subscribe(self, *topics: StrEnum, about: UUID | None = None) -> Iterator[Subscription]:
        """Subscribe to signals that are sent from now on. With `about`, only to those with this subject."""
        subscription = Subscription(frozenset(topics), about)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    async def carry(self, url: str, schema: str) -> None:
        """Exchange signals with the other replicas on a separate connection, until canceled."""
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
                        await asyncio.sleep(self._gather_seconds)
            except FAILURES as error:
                log.warning("signals_delayed", error=describe(error))
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
            self._deliver((self._topics(topic), UUID(thing)))
        except ValueError:  # a topic of a later release
            self._deliver(None)

    def _deliver(self, signal: Signal | None) -> None:
        for subscription in self._subscriptions:
            subscription.add(signal)
