"""How many calls a process takes on at a time: what comes on top is refused at once, so that the others stay quick."""

from service_kit.errors import TooManyRequests


class Admission:
    """Counts what is under way. One that is alone is taken on whatever its size."""

    def __init__(self, calls: int, size: int = 0) -> None:
        """At most `calls` at a time, and together at most `size` bytes."""
        self._calls = calls
        self._size = size
        self.calls_under_way = 0
        self.size_under_way = 0

    def has_room_for(self, calls: int) -> bool:
        return self.calls_under_way + calls <= self._calls

    def enter(self, size: int = 0) -> None:
        """Raises TooManyRequests. Who enters must leave, with the same size."""
        too_large = size and self.size_under_way and self.size_under_way + size > self._size
        if not self.has_room_for(1) or too_large:
            raise TooManyRequests
        self.calls_under_way += 1
        self.size_under_way += size

    def leave(self, size: int = 0) -> None:
        self.calls_under_way -= 1
        self.size_under_way -= size
