"""Finds leases that replicas no longer renew."""

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
    """The time the lease ends, by the database's clock. A renewal changes it."""
    is_over: bool
    """Whether the lease has ended, by the database's clock."""


class LeaseWatch:
    """Watches the leases of other replicas, on this machine's monotonic clock.

    A lease has lapsed when it has ended and was not renewed for half its length. It has also lapsed when it was not
    renewed for its whole length, whatever the database's clock says. Time in which the database was unreachable does
    not count. So a lease does not lapse while its owner works, even if the database is unreachable or its clock is set.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._seen: dict[tuple[UUID, datetime], float] = {}
        """When each lease was first seen as it is now."""

    def lapsed(self, leases: Sequence[Lease]) -> list[Lease]:
        """The lapsed ones of `leases`, which must be all current leases."""
        now = self._clock()
        self._seen = {key: self._seen.get(key, now) for key in ((lease.deployment_id, lease.until) for lease in leases)}
        return [
            lease
            for lease in leases
            if now - self._seen[lease.deployment_id, lease.until] >= self._seconds / (2 if lease.is_over else 1)
        ]

    def forget(self) -> None:
        """Start over. Call this after a time in which leases could be neither read nor renewed."""
        self._seen = {}
