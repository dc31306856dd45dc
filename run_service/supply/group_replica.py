"""A replica of a group while it is up: the runs it has, and why it is to be replaced or has ended."""

import asyncio
import time

from run_service.hosting.client import Connection


class GroupReplica:
    def __init__(self, replica_id: str, connection: Connection) -> None:
        self.id = replica_id
        self.connection = connection
        self.up_at = time.monotonic()
        self.busy = 0
        """Runs that it has."""
        self.runs = 0
        """Number of runs so far."""
        self.worn = ""
        """Why a new replica must replace it. Empty without a reason."""
        self.is_lost = False
        self.over = asyncio.Event()
        """It is lost, or is drained and can be stopped."""
        self._is_draining = False

    def take(self) -> None:
        self.busy += 1
        self.runs += 1

    def free(self) -> None:
        self.busy -= 1
        self._end_if_drained()

    def drain(self) -> None:
        """It gets no more runs, and is over when it has none."""
        self._is_draining = True
        self._end_if_drained()

    def lose(self) -> None:
        """Its process, or the connection to it, is gone."""
        self.is_lost = True
        self.over.set()

    def _end_if_drained(self) -> None:
        if self._is_draining and self.busy == 0:
            self.over.set()
