"""Finds the leases that their replicas no longer renew."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Lease:
    """Another replica's lease of a rollout, as it was last renewed."""

    deployment_id: UUID
    until: datetime
    """End of the lease by the database's clock. A renewal changes it."""
    is_over: bool
    """Whether it is over by the database's clock."""


class LeaseWatch:
    """Watches the leases of other replicas, on this machine's monotonic clock.

    A lease has lapsed when it is over and was not renewed for half its length, or when it was not renewed for its whole
    length, whatever the database's clock says. Time in which the database was away does not count. So no lease lapses
    while its owner works, neither because the database was away nor because its clock was set.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._seen: dict[tuple[UUID, datetime], float] = {}
        """The time since which each lease has been unchanged."""

    def lapsed(self, leases: Sequence[Lease]) -> list[Lease]:
        """Those of all current leases that have lapsed."""
        now = self._clock()
        self._seen = {key: self._seen.get(key, now) for key in ((lease.deployment_id, lease.until) for lease in leases)}
        return [
            lease
            for lease in leases
            if now - self._seen[lease.deployment_id, lease.until] >= self._seconds / (2 if lease.is_over else 1)
        ]

    def forget(self) -> None:
        """Begin anew, after a time in which the leases could not be read, nor renewed by their owners."""
        self._seen = {}
