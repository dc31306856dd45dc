"""Finds the leases that nobody renews any more."""

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
    """By the database's clock. A renewal changes it."""
    is_over: bool
    """Whether the database's clock says so."""


class LeaseWatch:
    """Watches the leases of other replicas, on the monotonic clock of this machine.

    A lease has lapsed when it is over and has not been renewed for half its length, or not for all its length whatever
    the database's clock says. So nothing lapses while its owner works on it: not because the database was away, as that
    time does not count, and not because its clock was set.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._seen: dict[tuple[UUID, datetime], float] = {}
        """Since when each is there, unchanged."""

    def lapsed(self, leases: Sequence[Lease]) -> list[Lease]:
        """Those of all leases there are now that have lapsed."""
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
