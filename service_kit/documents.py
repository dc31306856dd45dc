"""The size of a document and its approximate number of values, which decide where it is processed."""

from typing import Any

LARGE_DOCUMENT_BYTES = 256 << 10
"""Even as one text, a document of this size takes milliseconds to check, copy or hash."""


def count_values(*documents: bytes) -> int:
    """About as many as JSON documents hold, and never far fewer: each begins after one of these characters."""
    return sum(document.count(mark) for document in documents for mark in (b",", b"[", b"{"))


def holds_more_than(limit: int, value: Any) -> bool:
    """Whether a parsed document holds more keys, scalars, lists and objects."""
    count, left = 0, [value]
    while left and count <= limit:
        value = left.pop()
        if isinstance(value, dict):
            count += len(value)
            left += value.values()
        elif isinstance(value, list):
            left += value
        count += 1
    return count > limit
