"""Streams that follow changes. Limits their number, and ends them when needed."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import TypeVar
from uuid import UUID

from service_kit.access.caller import Caller
from service_kit.access.registry import AccessRegistry
from service_kit.errors import ProjectNotFound, TooManyRequests
from service_kit.serving.guard import TokenInvalid
from service_kit.signals import Signals, Subscription

MOST_STREAMS = 256
"""Maximum number of streams in a process."""
MOST_STREAMS_OF_ONE = 32
"""Maximum number of streams of one principal in a process."""
LOOK_SECONDS = 1.0
"""Seconds between two polls. It limits the delay of a lost signal and of a revoked token."""
HEARTBEAT_SECONDS = 30.0
"""Seconds without a message after which the stream sends its position."""
SLOW_SECONDS = 30.0
"""How long a caller may take to accept a message. After that, its stream is canceled."""

Message = TypeVar("Message")


class Watches:
    """The streams of this process that follow changes."""

    def __init__(self, registry: AccessRegistry, signals: Signals) -> None:
        self._registry = registry
        self._signals = signals
        self._streams: Counter[UUID] = Counter()
        self._is_closed = False

    def close(self) -> None:
        """End all streams, including those that start later."""
        self._is_closed = True
        self._signals.wake()

    async def follow(
        self,
        caller: Caller,
        project_id: UUID,
        subscription: Subscription,
        news: Callable[[], AsyncGenerator[Message, None]],
        position: Callable[[], Message],
    ) -> AsyncGenerator[Message, None]:
        """Yields `position()`, then the results of `news()`, which is called again for each signal of the subscription.

        Ends when the service stops. Raises TooManyRequests, TokenInvalid once the token is no longer valid,
        ProjectNotFound once the caller may no longer read the project, or one of db.FAILURES.
        """
        with self._place(caller.id):
            async with aclosing(self._messages(caller, project_id, subscription, news, position)) as messages:
                async for message in messages:
                    with _accepted_in_time():
                        yield message

    async def _messages(
        self,
        caller: Caller,
        project_id: UUID,
        subscription: Subscription,
        news: Callable[[], AsyncGenerator[Message, None]],
        position: Callable[[], Message],
    ) -> AsyncGenerator[Message, None]:
        loop = asyncio.get_running_loop()
        yield position()
        sent_at = loop.time()
        while not self._is_closed:
            self._check(caller, project_id)
            async with aclosing(news()) as messages:
                async for message in messages:
                    yield message
                    sent_at = loop.time()
                    self._check(caller, project_id)
            if loop.time() - sent_at >= HEARTBEAT_SECONDS:
                yield position()
                sent_at = loop.time()
            await subscription.wait(LOOK_SECONDS)

    def _check(self, caller: Caller, project_id: UUID) -> None:
        principal = self._registry.current(caller.principal)
        if principal is None:
            raise TokenInvalid
        if project_id not in principal.projects_by_role[caller.role]:
            raise ProjectNotFound(project_id)

    @contextmanager
    def _place(self, principal: UUID) -> Iterator[None]:
        if self._streams.total() >= MOST_STREAMS or self._streams[principal] >= MOST_STREAMS_OF_ONE:
            raise TooManyRequests
        self._streams[principal] += 1
        try:
            yield
        finally:
            self._streams[principal] -= 1
            if not self._streams[principal]:
                del self._streams[principal]


@contextmanager
def _accepted_in_time() -> Iterator[None]:
    """Cancel the call when a `yield` in the block takes too long, because gRPC itself waits forever for a slow
    caller."""
    task = asyncio.current_task()
    if task is None:
        raise LookupError("a stream is read by a task")
    timer = asyncio.get_running_loop().call_later(SLOW_SECONDS, task.cancel)
    try:
        yield
    finally:
        timer.cancel()
