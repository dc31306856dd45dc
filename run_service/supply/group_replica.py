"""A running replica of a group: its runs, and why it must be replaced."""

import asyncio
import time

from run_service.hosting.client import Connection


class GroupReplica:
    def __init__(self, replica_id: str, connection: Connection) -> None:
        self.id = replica_id
        self.connection = connection
        self.up_at = time.monotonic()
        self.busy = 0
        """Current number of runs."""
        self.runs = 0
        """Number of runs since the start."""
        self.worn = ""
        """Why a new replica must replace it. Empty without a reason."""
        self.is_lost = False
        self.over = asyncio.Event()
        """Set when the replica is lost, or is drained and can be stopped."""
        self._is_draining = False

    def take(self) -> None:
        self.busy += 1
        self.runs += 1

    def free(self) -> None:
        self.busy -= 1
        self._end_if_drained()

    def drain(self) -> None:
        """Give the replica no more runs. It is over when its last run has ended."""
        self._is_draining = True
        self._end_if_drained()

    def lose(self) -> None:
        """The replica's process or its connection has ended."""
        self.is_lost = True
        self.over.set()

    def _end_if_drained(self) -> None:
        if self._is_draining and self.busy == 0:
            self.over.set()
