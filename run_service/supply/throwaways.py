"""Replicas for one run each. Their number is limited, and each ends with its run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import structlog

from run_service.errors import FlowNotStarted, NoReplica, TooManyTests
from run_service.hosting.client import (
    Connection,
    HostClient,
    HostGone,
    Replica,
    ReplicaFailed,
    ReplicaGone,
    ReplicaSpec,
)
from run_service.supply.host_link import HostLink
from run_service.supply.tasks import Tasks

OF_THE_FLOW = ("DIGEST_DIFFERS", "FLOW_INVALID", "VARIABLE_MISSING")
"""Reasons for a failed start that are errors of the flow. All others are problems of this machine."""

log = structlog.get_logger()


class Throwaways:
    def __init__(self, hosts: HostLink, tasks: Tasks, most: int) -> None:
        """At most `most` run at a time. `tasks` end replicas whose callers have left."""
        self._hosts = hosts
        self._tasks = tasks
        self._free = most

    @asynccontextmanager
    async def replica(self, spec: ReplicaSpec, start_seconds: float) -> AsyncIterator[Connection]:
        """A connection to a new replica, which ends with the block. No other replica may have the labels of `spec`.

        Raises TooManyTests, FlowNotStarted or NoReplica.
        """
        if self._free <= 0:
            raise TooManyTests
        self._free -= 1
        started: tuple[HostClient, Replica] | None = None
        try:
            async with AsyncExitStack() as connected:
                try:
                    async with asyncio.timeout(start_seconds), self._hosts.replica(spec) as started:
                        connection = await connected.enter_async_context(started[0].connect(started[1].id))
                except ReplicaFailed as error:
                    raise _refusal(error) from error
                except (HostGone, ReplicaGone) as error:
                    raise NoReplica(str(error)) from error
                except TimeoutError:
                    raise NoReplica(f"The flow was not loaded after {start_seconds:g} s.") from None
                yield connection
        finally:
            await asyncio.shield(self._tasks.start(self._end(started)))

    async def _end(self, started: tuple[HostClient, Replica] | None) -> None:
        """End the replica. Its place is free once it has ended."""
        try:
            if started is not None:
                host, replica = started
                with suppress(HostGone):
                    await host.stop(replica.id, grace_seconds=0)
                log.info("throwaway_stopped", replica=replica.id)
        finally:
            self._free += 1


def _refusal(error: ReplicaFailed) -> FlowNotStarted | NoReplica:
    if error.reason in OF_THE_FLOW:
        return FlowNotStarted(error.message, cause=error.reason)
    return NoReplica(f"The flow cannot be started: {error.message}")
