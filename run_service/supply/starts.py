"""Failed starts of replicas, and the pauses after them."""

import time

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 10.0
"""A replica that ends sooner than this after its start counts as one that did not start."""


class StartFailed(Exception):
    """A replica did not start. The message is for the person who deployed."""

    def __init__(self, reason: str, message: str, *, is_final: bool) -> None:
        """`is_final` means that another try would fail the same way."""
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.is_final = is_final


class StartPause:
    """The pause of a group before its next start. It doubles each time, until a replica was up for long enough."""

    def __init__(self) -> None:
        self._length = 0.0
        self._over_at = 0.0

    @property
    def seconds(self) -> float:
        """Seconds until the next start is allowed. 0 if it is allowed now."""
        return max(0.0, self._over_at - time.monotonic())

    def end(self) -> None:
        self._over_at = 0.0

    def note_end(self, up_seconds: float) -> None:
        """A replica ended after `up_seconds`, which is 0 if it did not start. Several that end together count once."""
        if self.seconds > 0:
            return
        longer = min(max(FIRST_PAUSE_SECONDS, 2 * self._length), LONGEST_PAUSE_SECONDS)
        self._length = 0 if up_seconds >= STEADY_SECONDS else longer
        self._over_at = time.monotonic() + self._length
