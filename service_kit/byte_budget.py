"""Limits the bytes of requests and answers in progress, shared fairly by principal."""

from collections.abc import Hashable
from types import TracebackType

from service_kit.errors import TooManyRequests


class ByteBudget:
    def __init__(self, max_bytes: int) -> None:
        """The limit is `max_bytes` in total. Each principal may have an eighth of it even if others use all of it, and
        a request without others in progress may have any size. So at most twice as many bytes are in use."""
        self._max_bytes = max_bytes
        self._guaranteed = max_bytes // 8
        self._held_by: dict[Hashable, int] = {}
        self.held = 0

    def reserve(self, principal: Hashable) -> "Reservation":
        return Reservation(self, principal)

    def hold(self, principal: Hashable, size: int, own: int, *, may_refuse: bool) -> None:
        """Count `size` more bytes for a request that has `own`. Raises TooManyRequests only with `may_refuse`."""
        held_by = self._held_by.get(principal, 0)
        is_alone = self.held == own
        fits = self.held + size <= self._max_bytes
        is_guaranteed = held_by + size <= self._guaranteed and self.held + size <= 2 * self._max_bytes
        if may_refuse and not (fits or is_alone or is_guaranteed):
            raise TooManyRequests
        self.held += size
        self._held_by[principal] = held_by + size

    def release(self, principal: Hashable, size: int) -> None:
        self.held -= size
        left = self._held_by.get(principal, 0) - size
        if left > 0:
            self._held_by[principal] = left
        else:
            self._held_by.pop(principal, None)


class Reservation:
    """The bytes of one request and its answer. They are freed when it is closed, or garbage collected."""

    __slots__ = ("_budget", "_principal", "_size")

    def __init__(self, budget: ByteBudget, principal: Hashable) -> None:
        self._budget = budget
        self._principal = principal
        self._size = 0

    def add(self, size: int, *, may_refuse: bool = True) -> None:
        """Count more bytes. Raises TooManyRequests only with `may_refuse`."""
        if size:
            self._budget.hold(self._principal, size, self._size, may_refuse=may_refuse)
            self._size += size

    def close(self) -> None:
        if self._size:
            self._budget.release(self._principal, self._size)
            self._size = 0

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
