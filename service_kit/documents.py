"""The size of a document and its approximate number of values, which decide where it is processed."""

from typing import Any

LARGE_DOCUMENT_BYTES = 256 << 10
"""A document of this size takes milliseconds to check, copy or hash, even if it is a single text."""


def count_values(*documents: bytes) -> int:
    """The approximate number of values in JSON documents, and never far fewer. Each value follows one of these
    characters."""
    return sum(document.count(mark) for document in documents for mark in (b",", b"[", b"{"))


def holds_more_than(limit: int, value: Any) -> bool:
    """Whether a parsed document has more keys, scalars, lists and objects than the limit."""
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
